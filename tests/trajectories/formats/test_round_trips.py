"""Nothing is lost in any format, either way; an edit of a written file is an edit of the trajectory."""

from __future__ import annotations

import json

import pytest
from formats_made import FORMS, JSON, trajectories
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trajectories.formats import find, formats, recognise
from trajectories.formats.beside import difference, overlay
from trajectories.formats.document import fields
from trajectories.formats.folders import inside

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def exact(value) -> str:
    """Tells 1 from 1.0 and from true, and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
@settings(deadline=None, suppress_health_check=SLOW)
@given(trajectory=trajectories())
def test_any_trajectory_comes_back_from_a_document(name, trajectory):
    form = find(name)
    document = json.loads(json.dumps(form.dump(trajectory), allow_nan=False))
    assert exact(fields(form.load(document))) == exact(fields(trajectory))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*formats()])
@settings(deadline=None, suppress_health_check=SLOW, max_examples=15)
@given(several=st.lists(trajectories(), max_size=3, unique_by=lambda t: t.id))
def test_any_trajectories_come_back_from_a_file(name, several, tmp_path_factory):
    form = find(name)
    ending = ".parquet" if name == "parquet" else ".jsonl"
    ending = "" if name == "openhands-events" else ending  # a file for each, in a folder
    path = tmp_path_factory.mktemp("file") / f"out{ending}"
    assert form.write(iter(several), path) == len(several)
    back = {t.id: fields(t) for file in inside(path) for t in form.read(file)}
    assert exact(back) == exact({t.id: fields(t) for t in several})
    path = next(inside(path), path)
    if several and name != "parquet":
        assert recognise(path).name == name


@settings(deadline=None)
@given(JSON, JSON)
def test_what_stands_beside_puts_back(base, wanted):
    assert exact(overlay(base, difference(base, wanted))) == exact(wanted)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("ab"), JSON)), st.lists(st.dictionaries(st.sampled_from("ab"), JSON)))
def test_what_stands_beside_puts_lists_of_objects_back(base, wanted):
    assert exact(overlay(base, difference(base, wanted))) == exact(wanted)


@settings(deadline=None)
@given(JSON, JSON)
def test_nothing_that_stands_beside_can_break_reading(base, part):
    overlay(base, part)
    overlay({"a": [base]}, {"keys": {"a": {"of": [part], "items": {"0": part}, "insert": part, "drop": part}}})
