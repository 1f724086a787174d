"""Every format on every file that is not its own: one clear sentence that names the file, and nothing made up."""

from __future__ import annotations

import json
import re

import pytest
from formats_made import JSON
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_reading import small

from trajectories.formats import FormatError, find, formats, recognise

KEYS = re.findall(
    r"\w+",
    "messages info history steps agent instance_id content id trajectory kind source timestamp details role action "
    "observation args test_result problem_statement turns trajectory_format extra llm_message tool_calls class_",
)
ODD = {
    "empty.json": "{}",
    "other.json": '{"a": 1}',
    "number.json": "7",
    "rows.jsonl": '{"a": 1}\n{"a": 2}\n',
    "numbers.json": json.dumps(dict.fromkeys(KEYS, 3)),
    "nulls.json": json.dumps(dict.fromkeys(KEYS)),
    "lists.json": json.dumps({key: ["x"] for key in KEYS}),
    "text.json": "some words",
    "binary.json": "\x00\x01\x02",
}
ALSO_CHATS = {("chat", "mini-swe-agent"), ("chat", "swe-smith"), ("swe-smith", "mini-swe-agent")}
"""A format that asks for no more than another one has reads its files too."""
PYTHON = re.compile(r"Error\b|NoneType|object has no|indices|subscript|iterable|validation error|pydantic|Traceback")


def refused(form, path) -> None:
    with pytest.raises(FormatError) as error:
        list(form.read(path))
    checked(str(error.value), path)


def checked(said: str, path) -> None:
    assert said.startswith(str(path)) and "\n" not in said and not PYTHON.search(said)


@pytest.mark.parametrize("written_as", [*formats(), *ODD])
@pytest.mark.parametrize("read_as", [*formats()])
def test_a_file_of_another_format_is_refused_in_one_sentence(read_as, written_as, tmp_path):
    if written_as in ODD:
        path = tmp_path / written_as
        path.write_text(ODD[written_as])
    else:
        path = tmp_path / f"x{find(written_as).suffixes[0]}"
        find(written_as).write([small()], path)
    if read_as == written_as or (read_as, written_as) in ALSO_CHATS:
        (found,) = find(read_as).read(path)
        assert len(found.turns) == 1 and found.problem_statement == "fix"
    else:
        refused(find(read_as), path)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(values=st.dictionaries(st.sampled_from(KEYS), JSON | st.lists(st.dictionaries(st.sampled_from(KEYS), JSON))))
def test_whatever_a_document_holds_is_read_or_refused_in_one_sentence(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "x.json"
    path.write_text(json.dumps(values))
    for form in formats().values():
        try:
            recognise(path)
            list(form.read(path))
        except FormatError as error:
            checked(str(error), path)
