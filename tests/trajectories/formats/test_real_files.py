"""The files that other programs wrote, where they lie beside the checkout: all are read, and written as they were.

Where they do not lie there, the tests that need them are not there either: `test_reading.py` has small ones of its own.
"""

from __future__ import annotations

import json

import pytest
from formats_made import DATA

from trajectories.formats import find, recognise
from trajectories.formats.beside import same
from trajectories.formats.document import fields
from trajectories.formats.folders import inside

COUNTS = {
    "agent_data_protocol/nebius_SWE-agent-trajectories/sample_raw.json": ("swe-smith", 5),
    "agent_data_protocol/nebius_SWE-agent-trajectories/sample_std.json": ("agent-data-protocol", 5),
    "agent_data_protocol/swe-gym_openhands_sampled_trajectories/sample_raw.json": ("swe-smith", 5),
    "agent_data_protocol/swe-gym_openhands_sampled_trajectories/sample_std.json": ("agent-data-protocol", 5),
    "agent_data_protocol/swe-smith/sample_raw.json": ("swe-smith", 5),
    "agent_data_protocol/swe-smith/sample_std.json": ("agent-data-protocol", 5),
    "openhands/multi_swe_bench.output.jsonl": ("openhands", 3),
    "openhands/output.jsonl": ("openhands", 1),
    "openhands_sdk/events.jsonl": ("openhands-events", 1),
    "swe_agent/function_calling_simple.traj": ("swe-agent", 1),
    "swe_agent/marshmallow-1867.default.traj": ("swe-agent", 1),
    "swe_agent/marshmallow-1867.function_calling.traj": ("swe-agent", 1),
    "swe_agent/marshmallow-1867.xml.traj": ("swe-agent", 1),
    "swe_agent/test-repo-i1.traj": ("swe-agent", 1),
}
"""File -> its format and how many trajectories it holds; those of mini-swe-agent hold one each."""
FILES = [path for path in inside(DATA) if path.name != "neighbours.json"] if DATA.is_dir() else []
IDS = [str(path.relative_to(DATA)) for path in FILES]


OTHERS = ("atif", "chat", "swe-agent", "mini-swe-agent", "openhands", "parquet", "contextrl")


def test_all_files_are_here_or_none():
    """Somebody without the data has none of it; somebody with it has what is counted here."""
    mini = [name for name in IDS if name.startswith("mini_swe_agent/")]
    assert not DATA.is_dir() or (len(mini) == 29 and {*IDS} - {*mini} == {*COUNTS})


if FILES:

    @pytest.mark.parametrize("path", FILES, ids=IDS)
    def test_every_file_is_read_and_written_as_it_was(path, tmp_path):
        form = recognise(path)
        found = list(form.read(path))
        name = str(path.relative_to(DATA))
        assert (form.name, len(found)) == COUNTS.get(name, ("mini-swe-agent", 1))
        assert all(t.turns and t.id and t.instance_id for t in found)
        out = tmp_path / path.name
        assert form.write(found, out) == len(found)
        written, original = ([document for _, document in form.documents(p)] for p in (out, path))
        assert same(written, original)
        assert [fields(t) for t in form.read(out)] == [fields(t) for t in found]
        report = path.with_name(path.name.replace(".traj.json", ".report.json"))
        if form.name == "mini-swe-agent":
            assert json.loads((tmp_path / report.name).read_text()) == json.loads(report.read_text())

    @pytest.mark.parametrize("path", FILES, ids=IDS)
    def test_reading_twice_gives_the_same(path):
        form = recognise(path)
        assert list(form.read(path)) == list(form.read(path))

    @pytest.mark.parametrize("path", FILES[::5], ids=IDS[::5])
    @pytest.mark.parametrize(
        "name", ["atif", "chat", "swe-agent", "mini-swe-agent", "openhands", "parquet", "contextrl"]
    )
    def test_every_file_goes_through_other_formats(path, name, tmp_path):
        found = list(recognise(path).read(path))
        out = tmp_path / ("out.parquet" if name == "parquet" else "out.jsonl")
        find(name).write(found, out)
        assert list(find(name).read(out)) == found


def facts(name: str, index: int = 0):
    return list(recognise(DATA / name).read(DATA / name))[index]


if FILES:

    def test_what_the_files_say():
        t = facts("mini_swe_agent/django__django-15863.traj.json")
        assert (t.instance_id, t.repo, t.base_commit, t.agent) == (
            "django__django-15863",
            "django/django",
            "",
            "mini-swe-agent",
        )
        assert t.resolved and t.reward == 1.0 and list(t.verdict.fail_to_pass.values()) == ["passed"]
        assert t.problem_statement.startswith("Filter floatformat drops precision")
        assert t.turns[1].tool_call.arguments == {
            "command": 'grep -n "def floatformat" django/template/defaultfilters.py'
        }
        assert (t.turns[1].tool_call.name, t.turns[1].exit_code) == ("bash", 0)
        assert "```bash" in t.turns[1].text and "96:def floatformat" in t.turns[1].observation
        assert t.turns[-1].observation == "" and t.patch.startswith("diff --git")
        assert not facts("mini_swe_agent/django__django-16667.traj.json").resolved

        t = facts("swe_agent/marshmallow-1867.function_calling.traj")
        assert t.instance_id == "marshmallow-code__marshmallow-1867" and t.base_commit.startswith("bfd2593d")
        assert t.turns[0].tool_call.name == "create" and t.turns[0].tool_call.arguments == {"filename": "reproduce.py"}
        assert t.turns[0].text.endswith("</tool_call>") and t.turns[0].seconds > 0.2
        assert t.turns[1].tool_call.arguments["start_line"] == "1" and t.turns[1].extra["arguments"] == {
            "start_line": 1,
            "end_line": 1,
        }
        assert {turn.tool_call.name for turn in t.turns} >= {"bash", "edit", "open", "submit"}

        t = facts("swe_agent/marshmallow-1867.default.traj")
        assert t.repo == "marshmallow-code/marshmallow" and t.problem_statement.startswith(
            "TimeDelta serialization precision"
        )
        assert t.turns[0].tool_call.arguments == {"command": "ls -F"}
        assert "fields.py" in t.patch and t.verdict is None and t.reward is None

        t = facts("agent_data_protocol/swe-smith/sample_raw.json", 1)
        assert (t.instance_id, t.repo, t.base_commit) == (
            "pudo__dataset.5c2dc8d3.func_pm_op_change__fq79104s",
            "pudo/dataset",
            "5c2dc8d3",
        )
        assert t.turns[1].tool_call.name == "str_replace_editor"
        assert t.turns[1].tool_call.arguments == {"command": "view", "path": "/testbed/dataset/table.py"}
        assert t.problem_statement.startswith("# String formatting issue")

        t = facts("agent_data_protocol/swe-gym_openhands_sampled_trajectories/sample_raw.json")
        assert t.instance_id == "python__mypy-15976" and t.patch.startswith("diff --git a/mypy") and t.resolved
        assert any(turn.extra.get("continues") for turn in t.turns)  # it calls four tools at once

        t = facts("agent_data_protocol/nebius_SWE-agent-trajectories/sample_raw.json")
        assert t.turns[1].tool_call.arguments == {"file_name": "image.py", "dir": "plumbum"}

        t = facts("openhands/output.jsonl")
        assert t.repo == "mswebench/alibaba_m_fastjson2" and t.base_commit.startswith("12b40c7b")
        assert (
            t.turns[0].tool_call.name == "bash"
            and t.turns[0].extra["tool"] == "execute_bash"
            and t.turns[0].exit_code == 0
        )
        assert t.turns[1].tool_call.arguments["command"] == "view"

    def test_events_read_as_openhands_shows_them_to_the_model():
        t = facts("openhands_sdk/events.jsonl")
        said = []
        for turn in t.turns:
            words = turn.text.partition("<tool_call>")[0]
            said += [f"assistant: {words.rstrip()}"] if words.strip() else []
            said.append(f"tool: {turn.observation}")
        wanted = (DATA / "openhands_sdk" / "expected_transcript.txt").read_text()

        def plain(text: str) -> list[str]:
            return [line for line in text.split("\n") if line.strip()]

        assert plain("\n".join(said)) == plain(wanted)
        assert t.turns[-1].exit_code == 1
