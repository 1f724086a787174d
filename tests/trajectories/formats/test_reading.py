"""Which format a file is of, what each says, and what is said of files that are damaged."""

from __future__ import annotations

import gzip
import json
import random
import sys
import zlib
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajectories import formats as registry
from trajectories.formats import FormatError, find, formats, recognise
from trajectories.formats.folders import inside
from trajectories.formats.prompts import instance, repository, statement
from trajectories.formats.shell_actions import call
from trajectories.records import ToolCall, Trajectory, Turn

PROMPT = "<pr_description>\nConsider the following PR description:\nfix it\n</pr_description>\nGo."
TOOL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}


def small(number: int = 0, **fields) -> Trajectory:
    turn = Turn(text="look", tool_call=ToolCall(name="bash", arguments={"command": "ls"}), observation="a.py")
    about = {"instance_id": f"o__n-{number}", "repo": "o/n", "base_commit": "c", "problem_statement": "fix"}
    return Trajectory(**about, id=f"{number:032x}", turns=[turn], created_at=1.0, **fields)


def written(tmp_path, value, name="x.json"):
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def only(path) -> Trajectory:
    return next(recognise(path).read(path))


def test_mini_1_1_with_tool_calls_and_an_exit(tmp_path):
    messages = [
        {"role": "system", "content": "be good"},
        {"role": "user", "content": PROMPT},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "hm",
            "tool_calls": [TOOL, TOOL | {"id": "c2"}],
            "extra": {"actions": [{"command": "ls", "tool_call_id": "c1"}, {"command": "ls", "tool_call_id": "c2"}]},
        },
        {"role": "tool", "tool_call_id": "c1", "content": "one", "extra": {"returncode": 0, "raw_output": "one"}},
        {"role": "tool", "tool_call_id": "c2", "content": "two", "extra": {"returncode": 2}},
        {"role": "user", "content": "Say a command.", "extra": {"interrupt_type": "FormatError"}},
        {"role": "exit", "content": "", "extra": {"exit_status": "LimitsExceeded", "submission": ""}},
    ]
    info = {"exit_status": "LimitsExceeded", "submission": "", "config": {"model": {"model_name": "m"}}}
    document = {"info": info, "messages": messages, "trajectory_format": "mini-swe-agent-1.1"}
    t = only(written(tmp_path, document, "o__n-1.traj.json"))
    assert t.problem_statement == "fix it" and t.status == "truncated" and t.extra["model"] == "m"
    assert [(x.tool_call.name, x.exit_code) for x in t.turns] == [("bash", 0), ("bash", 2)]
    assert t.turns[0].text.startswith("<think>\nhm\n</think>\nI look.\n<tool_call>") and t.turns[0].observation == "one"
    assert t.turns[1].extra["continues"] and "no_patch" in t.extra
    assert t.turns[1].observation == "two\nSay a command."
    assert find("mini-swe-agent").dump(t) == document


def test_mini_1_1_of_the_other_api_and_of_text(tmp_path):
    response = {
        "object": "response",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "I look."}]}],
        "extra": {"actions": [{"command": "ls", "tool_call_id": "c1"}]},
    }
    answer = {"type": "function_call_output", "call_id": "c1", "output": "a.py", "extra": {"returncode": 1}}
    block = {"role": "assistant", "content": "Now:\n```mswea_bash_command\nls -a\n```"}
    messages = [{"role": "user", "content": PROMPT}, response, answer, block, {"role": "user", "content": "no"}]
    document = {"info": {}, "messages": messages, "trajectory_format": "mini-swe-agent-1.1"}
    t = only(written(tmp_path, document))
    assert [x.tool_call.arguments["command"] for x in t.turns] == ["ls", "ls -a"]
    assert (t.turns[0].observation, t.turns[0].exit_code, t.turns[1].observation) == ("a.py", 1, "no")
    assert find("mini-swe-agent").dump(t) == document


def test_mini_says_when_a_message_is_no_command(tmp_path):
    messages = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": "no block"}]
    document = {"info": {}, "messages": messages, "trajectory_format": "mini-swe-agent-1"}
    turn = only(written(tmp_path, document)).turns[0]
    assert turn.tool_call.name == "" and turn.tool_call.error == "0 commands where there must be one"


def test_events_in_a_folder_with_tokens_and_errors(tmp_path):
    def action(number, response, call_id):
        spoken = {"id": call_id, "name": "terminal", "arguments": '{"command": "ls", "security_risk": "LOW"}'}
        return {
            "kind": "ActionEvent",
            "id": f"a{number}",
            "timestamp": "2026-01-01T00:00:00",
            "source": "agent",
            "thought": [{"type": "text", "text": "look"}],
            "tool_name": "terminal",
            "tool_call_id": call_id,
            "tool_call": spoken,
            "llm_response_id": response,
        }

    def tokens(prompt, completion):
        return {"kind": "TokenEvent", "source": "agent", "prompt_token_ids": prompt, "response_token_ids": completion}

    events = [
        {
            "kind": "MessageEvent",
            "id": "m",
            "timestamp": "2026-01-01T00:00:00",
            "source": "user",
            "llm_message": {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
        },
        action(1, "r1", "c1"),
        action(2, "r1", "c2"),
        {"kind": "AgentErrorEvent", "source": "agent", "error": "no such tool", "tool_name": "x", "tool_call_id": "c2"},
        tokens([1, 2], [3]),
        action(3, "r2", "c3"),
        tokens([1, 2, 3, 4], [5]),
    ]
    folder = tmp_path / "conversation" / "events"
    folder.mkdir(parents=True)
    for i, event in enumerate(events):
        (folder / f"event-{i:05}.json").write_text(json.dumps(event))
    assert list(inside(tmp_path)) == [folder] and recognise(folder).name == "openhands-events"
    t = only(folder)
    assert t.created_at == 1767225600.0
    assert [x.prompt_ids + x.completion_ids for x in t.turns] == [[1, 2, 3], [], [4, 5]]
    assert [x.observation for x in t.turns] == ["", "no such tool", ""]
    assert t.turns[1].extra["continues"] and "continues" not in t.turns[2].extra
    assert t.turns[0].tool_call.arguments == {"command": "ls"}  # OpenHands' own arguments aside
    assert find("openhands-events").dump(t)["events"] == events


@pytest.mark.parametrize(
    ("action", "name", "arguments"),
    [
        ("open src/a.py 12", "open", {"path": "src/a.py", "line_number": "12"}),
        (
            "edit 3:4\nx = 'a b'\nend_of_edit\n",
            "edit",
            {"start_line": "3", "end_line": "4", "replacement_text": "x = 'a b'"},
        ),
        ('search_dir "def f(" src', "search_dir", {"search_term": "def f(", "dir": "src"}),
        ("submit\n", "submit", {}),
        ("open it's", "open", {"path": "it's"}),
        ("ls -F\n", "bash", {"command": "ls -F"}),
        ("open a b c d", "bash", {"command": "open a b c d"}),
        ("create a.py\nls", "bash", {"command": "create a.py\nls"}),
    ],
)
def test_commands_of_swe_agent(action, name, arguments):
    found = call(action)
    assert (found.name, found.arguments) == (name, arguments)


@pytest.mark.parametrize(
    ("instance_id", "found"),
    [
        ("django__django-15863", ("django/django", "")),
        ("pudo__dataset.5c2dc8d3.func_pm_op_change__fq79104s", ("pudo/dataset", "5c2dc8d3")),
        ("scikit-learn__scikit-learn-1", ("scikit-learn/scikit-learn", "")),
        ("more-itertools-1", ("", "")),
        ("", ("", "")),
    ],
)
def test_what_an_instance_id_says(instance_id, found):
    assert repository(instance_id) == found


def test_numbers_of_samples_are_no_part_of_an_instance_id():
    assert instance("python__mypy-15976_0") == "python__mypy-15976"
    smith = "pudo__dataset.5c2dc8d3.func_pm_op_change__fq79104s"
    assert instance(smith) == smith and instance(f"{smith}.arbkompf_0") == smith


def test_a_statement_is_found_or_the_prompt_is_it():
    assert statement("a\n<issue_description>\nslow\n</issue_description>\nb") == "slow"
    assert statement("Here:\nISSUE:\nslow\n\nINSTRUCTIONS:\ngo") == "slow"
    assert statement("[ISSUE]\nslow\n[/ISSUE]") == "slow"
    assert statement("make it fast") == "make it fast"


DAMAGED = {
    "cut.traj.json": ('{"info": {},\n "messages": [', "line 2: this is not JSON (the file ends too early)"),
    "cut.jsonl": ('{"messages": []}\n{"messages": [}\n', "line 2: this is not JSON"),
    "list.json": ('[{"messages": []},\n{"messages": []}', "line 2: this is not JSON (the file ends too early)"),
    "comma.json": ('[{"messages": []}\n{"messages": []}]', "line 2: this is not JSON ('{' where a comma should stand)"),
    "scalar.jsonl": ('{"messages": []}\n7\n', "line 2: this is no object"),
    "other.jsonl": ('{"messages": []}\n{"messages": 3}\n', "line 2: this is no trajectory of the format chat"),
    "deep.json": ("[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_told_with_its_line(name, tmp_path):
    text, said = DAMAGED[name]
    path = written(tmp_path, text, name)
    got = []
    with pytest.raises(FormatError) as error:
        for t in (recognise(path) or find("chat")).read(path):
            got.append(t)
    assert str(path) in str(error.value) and said in str(error.value) and "\n" not in str(error.value)
    assert len(got) == {"cut.traj.json": 0, "deep.json": 0, "list.json": 2}.get(name, 1)


def read_to_the_end(path) -> tuple[int, str]:
    """How many trajectories a damaged file gives, and what is said of the rest."""
    found = 0
    with pytest.raises(FormatError) as error:
        for _ in find("chat").read(path):
            found += 1
    return found, str(error.value).removeprefix(f"{path}, ")


ROWS = [json.dumps({"messages": [{"role": "user", "content": f"{i} {random.Random(i).random()}"}]}) for i in range(900)]
"""Rows that an archive holds in many pieces."""


@pytest.mark.parametrize("rest", [0.9, 0.5, 0.2])
def test_all_that_a_cut_archive_holds_is_read(rest, tmp_path):
    whole = gzip.compress("".join(f"{row}\n" for row in ROWS).encode())
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(whole[: int(len(whole) * rest)])
    held = zlib.decompressobj(31).decompress(path.read_bytes()).count(b"\n")
    assert read_to_the_end(path) == (held, f"line {held + 1}: the archive ends too early") and held > 100


def test_a_damaged_archive_gives_what_stands_before_the_damage(tmp_path):
    damaged = bytearray(gzip.compress("".join(f"{row}\n" for row in ROWS).encode()))
    damaged[-1] ^= 1  # the last bytes tell how long it was, those before are its checksum
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(damaged)
    found, said = read_to_the_end(path)
    assert found == len(ROWS) and said.startswith(f"line {len(ROWS) + 1}: the archive is damaged")
    for name, contents in (("y.jsonl.gz", b"junk"), ("z.jsonl.gz", gzip.compress(b"{}")[:12])):
        (tmp_path / name).write_bytes(contents)
        with pytest.raises(FormatError, match=f"{name}.*: the archive"):
            recognise(tmp_path / name)


def test_text_that_is_none_is_read_up_to_there(tmp_path):
    path = tmp_path / "y.jsonl"
    path.write_bytes(b'{"messages": []}\n' * 3 + b'{"messages": ["\xff\xfe"]}')
    assert read_to_the_end(path) == (3, "line 4: it holds bytes that are not UTF-8 (invalid start byte)")
    path.write_bytes(b'{"messages": []}\n{"messages": ["\xc3')
    assert read_to_the_end(path) == (1, "line 2: this is not JSON (the file ends too early)")


@given(st.binary(max_size=60), st.sampled_from([b"", b"{", b"[{", b'{"messages": ', b'{"history": [', b"PAR1"]))
def test_no_file_is_too_odd(tmp_path_factory, tail, start):
    path = tmp_path_factory.mktemp("odd") / "x.json"
    path.write_bytes(start + tail)
    for form in formats().values():
        try:
            form.sniff(registry.Sample(path))
            list(form.read(path))
        except FormatError as error:
            assert str(path) in str(error)


def test_halves_of_surrogates_become_a_mark(tmp_path):
    path = written(
        tmp_path, '{"messages": [{"role": "user", "content": "a\\ud83d"}, {"role": "assistant", "content": "b"}]}'
    )
    assert only(path).problem_statement == "a\ufffd"


def test_large_values_and_tails_of_buffers_are_read(tmp_path):
    long = "x" * 3_000_000
    rows = [{"messages": [{"role": "assistant", "content": long}]}, {"messages": []}]
    for text in (json.dumps(rows), "\n".join(map(json.dumps, rows)), json.dumps(rows, indent=1)):
        found = list(find("chat").read(written(tmp_path, text)))
        assert [len(t.turns) for t in found] == [1, 0] and found[0].turns[0].text == long


@pytest.mark.parametrize("name", [*formats()])
def test_nothing_is_left_of_a_file_that_could_not_be_written(name, tmp_path):
    def failing():
        yield small()
        raise RuntimeError("no more")

    for ending in (formats()[name].suffixes[0], ""):
        with pytest.raises((RuntimeError, FormatError)):
            find(name).write(failing(), tmp_path / f"out{ending}")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["atif", "swe-agent", "mini-swe-agent", "openhands-events"])
def test_formats_of_one_trajectory_a_file_make_a_folder(name, tmp_path):
    form = find(name)
    several = [small(1), small(2), small(1, run="again").model_copy(update={"id": "x/../y"})]
    with pytest.raises(FormatError, match="holds one trajectory"):
        form.write(several, tmp_path / f"out{form.suffixes[0]}")
    assert form.write(several, tmp_path / "out") == 3
    assert {t.id for file in inside(tmp_path / "out") for t in form.read(file)} == {t.id for t in several}
    assert form.write([small(3)], tmp_path / "out") == 1  # the folder gives way
    assert len(list(inside(tmp_path / "out"))) == 1
    assert form.write([small()], tmp_path / f"one{form.suffixes[0]}") == 1


def test_packages_are_looked_for_once(monkeypatch):
    looked = []
    monkeypatch.setattr(registry, "entry_points", lambda group: looked.append(group) or [])
    registry.brought.cache_clear()
    assert formats() == formats() and len(looked) == 1
    registry.brought.cache_clear()


def test_a_package_brings_a_format_of_its_own(monkeypatch, tmp_path):
    class Own:
        name, suffixes = "own", (".own",)

        def sniff(self, sample):
            return sample.head.startswith(b"OWN")

        def read(self, path):
            yield small()

    module = type(sys)("own_format")
    module.Own = Own
    monkeypatch.setitem(sys.modules, "own_format", module)
    points = [EntryPoint("own", "own_format:Own", registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    monkeypatch.setattr(registry, "brought", registry.brought.__wrapped__)
    path = tmp_path / "a.own"
    path.write_text("OWN")
    assert list(inside(tmp_path)) == [path] and only(path).instance_id == "o__n-0"
    points[0] = EntryPoint("own", "own_format:Missing", registry.GROUP)
    with pytest.raises(FormatError, match="the format own of own_format:Missing fails"):
        find("atif")


def test_datasets_reads_our_parquet(tmp_path):
    import datasets

    path = tmp_path / "t.parquet"
    find("parquet").write([small(1, reward=-0.0), small(2)], path)
    rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert rows["instance_id"][:] == ["o__n-1", "o__n-2"] and rows[0]["turns"][0]["text"] == "look"
    assert rows.features["turns"].feature["completion_ids"].feature.dtype == "int32"


def test_parquet_says_what_does_not_fit_and_what_is_not_ours(tmp_path):
    import pyarrow
    import pyarrow.parquet

    large = small().model_copy(update={"turns": [small().turns[0].model_copy(update={"prompt_ids": [2**40]})]})
    with pytest.raises(FormatError, match="does not fit Parquet"):
        find("parquet").write([large], tmp_path / "t.parquet")
    path = tmp_path / "other.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), path)
    with pytest.raises(FormatError, match="not of ours: it has no column"):
        list(find("parquet").read(path))


def test_without_pyarrow_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FormatError, match=r"contextrl\[parquet\]"):
        find("parquet").write([small()], tmp_path / "t.parquet")
