"""Real trajectories of other programs: each action can be done again or it is said why not, and our editors answer as
theirs did wherever a record shows the whole file before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.protocol import ExecResult, SandboxFileError
from trajectories.formats import recognise
from trajectories.records import Trajectory
from trajectories.replay.calls import playable
from trajectories.replay.editor import Editor
from trajectories.replay.editor_answers import plain, shown_alike
from trajectories.replay.scaffolds import heard, paths_of, scaffold_of
from trajectories.replay.windows import COMMANDS, Windows

DATA = Path(__file__).parents[4] / "shared" / "data" / "trajectories"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the data of other programs do not lie beside the checkout")


def real() -> Iterator[tuple[str, Trajectory]]:
    for path in sorted(path for path in DATA.rglob("*") if path.suffix in (".json", ".jsonl", ".traj")):
        if not path.name.endswith(".report.json") and path.name != "neighbours.json":
            form = recognise(path)
            assert form is not None, path
            yield from ((form.name, trajectory) for trajectory in form.read(path))


@pytest.fixture(scope="module")
def records() -> list[tuple[str, Trajectory]]:
    return list(real())


def test_every_action_can_be_done_again_or_is_named(records):
    found = Counter(
        "no call" if not turn.tool_call.name else playable(turn) or "can be done again"
        for _, trajectory in records
        for turn in trajectory.turns
    )
    assert found == {"can be done again": 1480, "no call": 48, "it is input to a command that runs, not a command": 1}


def test_every_scaffold_is_known(records):
    found = Counter((form, scaffold_of(trajectory)) for form, trajectory in records)
    assert found == {
        ("agent-data-protocol", "openhands"): 5,
        ("agent-data-protocol", "swe-agent"): 10,
        ("mini-swe-agent", "mini-swe-agent"): 29,
        ("openhands", "openhands"): 4,
        ("openhands-events", "openhands"): 1,
        ("swe-agent", "swe-agent"): 5,
        ("swe-smith", "openhands"): 5,
        ("swe-smith", "swe-agent"): 10,
    }


def test_every_place_of_a_repository_is_found(records):
    for form, trajectory in records:
        paths = paths_of(trajectory)
        calls = " ".join(value for turn in trajectory.turns for value in turn.tool_call.arguments.values())
        assert not re.search(r"/workspace/\w+__\w", paths.ours(calls)), (form, trajectory.instance_id)


def test_what_a_scaffold_puts_around_an_output_is_taken_off(records):
    around = re.compile(
        r"<returncode>|</?output|bash-\$|\(Open file:|\[Command finished|\[Python [Ii]nterp|^OBSERVATION:"
    )
    for _, trajectory in records:
        scaffold = scaffold_of(trajectory)
        for turn in trajectory.turns:
            if turn.tool_call.name == "bash" and "<returncode>" not in turn.tool_call.arguments.get("command", ""):
                said = heard(turn, scaffold)
                assert not around.search(f"{said.text}{said.tail or ''}"), turn.observation


class Files:
    """As much of a sandbox as an editor needs."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    async def read(self, path: str) -> bytes:
        if path not in self.files:
            raise SandboxFileError(path)
        return self.files[path]

    async def write(self, files: dict[str, bytes]) -> None:
        self.files.update(files)

    async def run(self, command: list[str] | str) -> ExecResult:
        if isinstance(command, list):  # test -d or -e
            return ExecResult(int(command[1] == "-d" or command[2] not in self.files), "", "", 0.0)
        path = command.rpartition(" ")[2].strip("'")
        return ExecResult(0, f"/testbed\n{path if path.startswith('/') else f'/testbed/{path}'}\n", "", 0.0)


_CHANGES = re.compile(r"sed -i|>|\b(?:mv|cp|rm|git|patch|black|isort)\b")
"""Commands that may change a file that an editor has shown."""


def whole(observation: str) -> str | None:
    """The contents of a file that an editor has shown from its first line to its last."""
    text = re.sub(r"\r+\n", "\n", observation)
    if "Here's the result of running `cat -n` on /" not in text or "clipped" in text or "abbreviated" in text:
        return None
    lines = [re.match(r" *(\d+)\t(.*)", line) for line in text.partition(":\n")[2].rstrip("\n").split("\n")]
    if not all(lines) or [int(line[1]) for line in lines] != list(range(1, len(lines) + 1)):
        return None
    return "\n".join(line[2] for line in lines) + "\n"


async def test_the_editor_answers_as_theirs_did(records):
    compared: Counter[str] = Counter()
    differing = []
    for form, trajectory in records:
        files, ours = Files(), paths_of(trajectory).ours
        editor = Editor(files)  # type: ignore[arg-type]
        for number, turn in enumerate(trajectory.turns, 1):
            call = turn.tool_call
            if call.name == "bash" and _CHANGES.search(call.arguments.get("command", "")):
                files.files.clear()
            if call.name != "str_replace_editor":
                continue
            arguments = {key: ours(value) for key, value in call.arguments.items()}
            path, command = arguments.get("path", ""), arguments.get("command", "")
            known = path in files.files or command == "create"
            recorded = ours(turn.observation)
            if not turn.observation.strip() or turn.observation.startswith("Well done"):
                continue  # the last turn: nobody was shown what came of it
            if known and not (command == "create" and "already exists" in recorded):
                expected = plain(recorded)
                got = shown_alike(expected, plain(await editor.call(arguments, recorded)))
                compared[command] += 1
                if got != expected:
                    differing.append((form, trajectory.instance_id, number, command, expected, got))
            elif command == "view" and not arguments.get("view_range") and (text := whole(recorded)) is not None:
                files.files[path] = text.encode()
    assert not differing, [place[:4] for place in differing]
    assert compared == {"str_replace": 44, "create": 29, "undo_edit": 12, "view": 9, "insert": 3}


async def test_what_versions_of_the_editor_word_differently():
    files = Files()
    files.files["/testbed/a.py"] = b"one\ntwo\n"
    editor = Editor(files)  # type: ignore[arg-type]
    got = await editor.call({"command": "view", "path": "/testbed/a.py", "view_range": "[0, 40]"}, "")
    theirs = (
        "Invalid `view_range`: [0, 40]. It's first element `0` should be within the range of lines of the file: [1, 9]"
    )
    assert plain(got) == plain(theirs)
    same = {"command": "str_replace", "path": "/testbed/a.py", "old_str": "one", "new_str": "one"}
    refusal = "No replacement was performed. `new_str` and `old_str` must be different."
    assert await editor.call(same, refusal) == refusal
    assert "has been edited" in await editor.call(same, "The file /testbed/a.py has been edited."), "another version"


async def test_the_windows_show_what_theirs_did(records):
    compared: Counter[str] = Counter()
    differing = []
    for form, trajectory in records:
        files, ours = Files(), paths_of(trajectory).ours
        windows = Windows(files, quoted=form == "agent-data-protocol")  # type: ignore[arg-type]
        for number, turn in enumerate(trajectory.turns, 1):
            call = turn.tool_call
            recorded = re.sub(r"\n\(Open file:.*", "", ours(turn.observation.replace("\r\n", "\n")), flags=re.DOTALL)
            if call.name not in COMMANDS or call.name.startswith(("find", "search")):
                continue
            arguments = {key: ours(value) for key, value in call.arguments.items()}
            shown = [line.partition(":")[2] for line in recorded.split("\n") if re.match(r"\d+:", line)]
            lines = re.search(r"\((\d+) lines total\)", recorded)
            if call.name == "open" and lines and int(lines[1]) == len(shown):
                path = arguments["path"].strip('"')
                files.files[path if path.startswith("/") else f"/testbed/{path}"] = ("\n".join(shown) + "\n").encode()
            elif call.name == "open":
                windows._open = ""
            if call.name == "create" or windows._open in files.files or call.name == "open":
                if call.name == "open" and lines and int(lines[1]) != len(shown):
                    continue
            else:
                continue
            got = (await windows.call(call.name, arguments, recorded)).strip("\n")
            compared[call.name] += 1
            if got != recorded.strip("\n"):
                differing.append((form, trajectory.instance_id, number, call.name, recorded, got))
    assert not differing, [place[:4] for place in differing]
    assert compared == {"edit": 11, "create": 7, "open": 5}
