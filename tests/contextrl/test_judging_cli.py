"""`contextrl pairs audit`, from a store and from a file."""

import json
import random
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contextrl.cli import app
from trajectories.store import SQLStore

sys.path.insert(0, str(Path(__file__).parents[1] / "trajectories"))
from test_audit import pair_set
from trajectory_builders import trajectory


def contextrl(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"NO_COLOR": "1", "COLUMNS": "200"})


def stored(path, pairs, newer=0.5):
    """A store with the pairs and their trajectories; the anchor was added last in this share of the pairs."""
    rng = random.Random(0)
    with SQLStore(path) as store:
        for pair in pairs:
            sides = [pair.anchor, pair.confounder]
            for side in sides[:: -1 if rng.random() < newer else 1]:
                store.add(trajectory(side.instance_id, id=side.trajectory_id, created_at=1.0))
        store.add_pairs(pair.model_copy(update={"run": "mined", "judgement": "valid"}) for pair in pairs)
    return path


def test_a_shortcut_is_told_and_strict_fails(tmp_path):
    store = stored(tmp_path / "s.db", pair_set(1, pairs=150, dashes=99))
    result = contextrl("pairs", "audit", "--store", store, "--run", "mined")
    assert result.exit_code == 0, result.output
    assert "The set is flagged: length." in result.stdout
    assert "length selects" in result.stdout and "better than chance" in result.stdout
    assert "150 pairs of 60 functions" in result.stdout
    assert contextrl("pairs", "audit", "--store", store, "--strict").exit_code == 1


def test_what_the_store_knows_is_tried_as_well(tmp_path):
    store = stored(tmp_path / "s.db", pair_set(2, pairs=120), newer=0.85)
    result = contextrl("pairs", "audit", "--store", store, "--json", "--strict")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["flagged"], report["skipped"]) == (1, ["newer"], [])


def test_a_clean_file_is_called_clean_and_a_small_one_too_small(tmp_path):
    store = stored(tmp_path / "s.db", pair_set(11, pairs=200))
    out = tmp_path / "pairs.jsonl"
    assert contextrl("pairs", "export", "--store", store, "-o", out).exit_code == 0
    result = contextrl("pairs", "audit", "--file", out, "--strict")
    assert result.exit_code == 0, result.output
    assert "Nothing beats chance" in result.stdout
    assert "no store knows the trajectories: newer, agent" in result.stdout
    few = tmp_path / "few.jsonl"
    few.write_text("".join(out.read_text().splitlines(keepends=True)[:9]))
    assert "Too few to say anything" in contextrl("pairs", "audit", "--file", few).stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run", "nobody"], "there are no pairs to audit"),
        (["--judgement", "invalid"], "there are no pairs to audit"),
        (["--file", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_audited_is_said(tmp_path, arguments, said):
    store = stored(tmp_path / "s.db", pair_set(1, pairs=3))
    result = contextrl("pairs", "audit", "--store", store, *arguments)
    assert result.exit_code == 2 and said in result.stderr and "Traceback" not in result.output
