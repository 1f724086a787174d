"""Small runs in the manner of SWE-agent, mini-swe-agent and OpenHands: their commands really run, their answers as they
write them, by no code of the replay's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from envs.swe import SWEEnv
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import Sandbox, SandboxBackend
from trajectories.formats import find
from trajectories.records import ToolCall, Trajectory, Turn

FIX = "sed -i 's/metres \\* 0.3048/metres \\/ 0.3048/' /testbed/lengths/units.py"
SHELL = (
    "ls -la && cat lengths/units.py",
    "grep -rn feet . --include='*.py'",
    "cd lengths && ls *.py",
    "pwd",
    "nosuchcommand",
    "cat missing; echo between; cat missing",
    "python -c \"print(object(), {'b', 'a', 'c'})\"",
    "mktemp; date '+%Y-%m-%d %H:%M:%S'; seq 1 4000",
    FIX,
    "cd /testbed && python -m unittest -q",
    "git diff",
    "cat <<'EOF' > note.txt\nit's done\nEOF",
    "exit 3",
)
"""Two look, two change folders, three fail, three print what differs from run to run, three change something."""


async def mini_swe_agent(box: Sandbox) -> list[Turn]:
    turns = []
    for command in SHELL:
        ran = await box.run(["bash", "-c", 'exec bash -c "$0" 2>&1', command])
        out = f"<output>\n{ran.stdout}</output>"
        if len(ran.stdout) >= 10_000:
            head, tail = ran.stdout[:5000], ran.stdout[-5000:]
            out = "<warning>\nThe output of your last command was too long.\n</warning><output_head>\n"
            out += f"{head}\n</output_head>\n<elided_chars>\n{len(ran.stdout) - 10_000} characters elided\n"
            out += f"</elided_chars>\n<output_tail>\n{tail}\n</output_tail>"
        observation = f"<returncode>{ran.exit_code}</returncode>\n{out}"
        turns.append(_turn("bash", {"command": command}, observation, ran.exit_code, f"```bash\n{command}\n```"))
    wrong = "```bash\nls\n```\n```bash\npwd\n```"
    call = ToolCall(name="", error="2 commands where there must be one")
    turns.append(Turn(text=wrong, tool_call=call, observation="Please always provide EXACTLY ONE action"))
    last = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && git add -A && git diff --cached"
    return [*turns, _turn("bash", {"command": last}, "", None, f"```bash\n{last}\n```")]


async def openhands(box: Sandbox) -> list[Turn]:
    place = "/workspace/lengths__1.0"
    turns = []
    for command in SHELL[:-1]:
        ran = await box.run(command + "\n" if "EOF" in command else f"{{ {command}\n}} 2>&1")
        shown = _theirs(ran.stdout.strip("\n"), place)
        turns.append(_turn("bash", {"command": _theirs(command, place)}, shown, ran.exit_code))
        turns[-1] = turns[-1].model_copy(update={"extra": {"tool": "execute_bash"}})
    for arguments, observation in await edits(box, place):
        turns.append(_turn("str_replace_editor", arguments, observation))
    turns.append(_turn("think", {"thought": "is it done?"}, "Your thought has been logged."))
    turns.append(_turn("browser", {"code": "goto('http://localhost')"}, "no such page"))
    return [*turns, _turn("finish", {"message": "done"}, "")]


async def swe_agent(box: Sandbox) -> list[Turn]:
    place = "/lengths__lengths"
    turns = []
    for command in SHELL[:-1]:
        ran = await box.run(command + "\n" if "EOF" in command else f"{{ {command}\n}} 2>&1")
        shown = _theirs(ran.stdout, place) or "Your command ran successfully and did not produce any output."
        turns.append(_turn("bash", {"command": _theirs(command, place)}, _state(shown, place)))
    for arguments, observation in await edits(box, place):
        turns.append(_turn("str_replace_editor", arguments, _state(observation, place)))
    for name, arguments, observation in await classic(box, place):
        turns.append(_turn(name, arguments, _state(observation, place)))
    return [*turns, _turn("submit", {}, "diff --git ...")]


async def edits(box: Sandbox, place: str) -> list[tuple[dict[str, str], str]]:
    """Every command of the editor, done with `sed` and shown with `cat -n`."""
    words = f"{place}/lengths/words.py"

    async def numbered(first: int, last: int) -> str:
        ran = await box.run(f"cat -n /testbed/lengths/words.py | sed -n {first},{last}p")
        return ran.stdout

    found: list[tuple[dict[str, str], str]] = []

    def add(answer: str, **arguments: str) -> None:
        found.append(({"path": words, **arguments}, answer))

    result = f"Here's the result of running `cat -n` on {words}:\n"
    add(result + await numbered(1, 99), command="view")
    add(result + await numbered(2, 2), command="view", view_range="[2, 2]")
    old = "return word + 's'"
    await box.run("sed -i \"s/return word + 's'/return f'{word}s'/\" /testbed/lengths/words.py")
    edited = f"The file {words} has been edited. Here's the result of running `cat -n` on a snippet of "
    review = "Review the changes and make sure they are as expected"
    again = "Edit the file again if necessary."
    snippet = f"{edited}{words}:\n{await numbered(1, 9)}{review}. {again}"
    add(snippet, command="str_replace", old_str=old, new_str="return f'{word}s'")
    missing = f"No replacement was performed, old_str `{old}` did not appear verbatim in {words}."
    add(f"ERROR:\n{missing}", command="str_replace", old_str=old, new_str="x")
    before = (await box.run("cat /testbed/lengths/words.py")).stdout
    await box.run("sed -i '1i # plurals' /testbed/lengths/words.py")
    correct = " (correct indentation, no duplicate lines, etc)"
    inserted = f"{edited}the edited file:\n{await numbered(1, 5)}{review}{correct}. {again}"
    add(inserted, command="insert", insert_line="0", new_str="# plurals")
    await box.write({"/testbed/lengths/words.py": before.encode()})
    undone = f"Last edit to {words} undone successfully. {result}{await numbered(1, 99)}"
    add(undone, command="undo_edit")
    new = f"{place}/lengths/new.py"
    await box.write({"/testbed/lengths/new.py": b"NEW = 1\n"})
    found.append(({"command": "create", "path": new, "file_text": "NEW = 1\n"}, f"File created successfully at: {new}"))
    exists = f"ERROR:\nFile already exists at: {new}. Cannot overwrite files using command `create`."
    found.append(({"command": "create", "path": new, "file_text": "NEW = 2\n"}, exists))
    return found


async def classic(box: Sandbox, place: str) -> list[tuple[str, dict[str, str], str]]:
    """SWE-agent's own commands; a window of four lines is as good as one of a hundred."""
    file = f"{place}/lengths/units.py"

    async def window(first: int, last: int) -> str:
        text = (await box.read("/testbed/lengths/units.py")).decode()
        lines = text.splitlines()
        above, below = f"({first - 1} more lines above)\n" * (first > 1), len(lines) - last
        shown = "".join(f"{n}:{lines[n - 1]}\n" for n in range(first, last + 1))
        return f"[File: {file} ({len(lines)} lines total)]\n{above}{shown}" + f"({below} more lines below)" * (
            below > 0
        )

    found = [
        ("find_file", {"file_name": "units.py"}, f'Found 1 matches for "units.py" in {place}:\n{file}'),
        ("find_file", {"file_name": "none.py"}, f'No matches found for "none.py" in {place}'),
        ("open", {"path": "lengths/units.py", "line_number": "6"}, await window(4, 7)),
        ("goto", {"line_number": "9"}, await window(8, 11)),
        (
            "search_file",
            {"search_term": "def metres"},
            f'Found 1 matches for "def metres" in {file}:\nLine 4:def metres(feet):\n'
            f'End of matches for "def metres" in {file}',
        ),
    ]
    text = (await box.read("/testbed/lengths/units.py")).decode()
    await box.write({"/testbed/lengths/units.py": text.replace('"""Lengths."""', '"""All lengths."""').encode()})
    updated = "File updated. Please review the changes and make sure they are correct."
    edit = {"start_line": "1", "end_line": "1", "replacement_text": '"""All lengths."""'}
    found.append(("edit", edit, f"{await window(1, 4)}\n{updated}"))
    broken = {"start_line": "5", "end_line": "5", "replacement_text": "return ("}
    lines = text.replace('"""Lengths."""', '"""All lengths."""').splitlines()
    would = "\n".join([*(f"{n}:{lines[n - 1]}" for n in (3, 4)), "5:return (", f"6:{lines[5]}"])
    refused = (
        "Your proposed edit has introduced new syntax error(s). Please understand the fixes and retry your edit "
        "commmand.\n\nERRORS:\n- E999 SyntaxError: '(' was never closed\n\nThis is how your edit would have looked if "
        f"applied\n----\n[File: {file} ({len(lines)} lines total)]\n(2 more lines above)\n{would}\n"
        f"({len(lines) - 6} more lines below)\n----\n\nThis is the original code before your edit\n----\n"
        f"[File: {file} ({len(lines)} lines total)]\n(2 more lines above)\n"
        + "".join(f"{n}:{lines[n - 1]}\n" for n in range(3, 7))
        + f"({len(lines) - 6} more lines below)\n----\nYour changes have NOT been applied."
    )
    found.append(("edit", broken, refused))
    await box.write({"/testbed/todo.txt": b"\n"})
    found.append(("create", {"filename": "todo.txt"}, f"[File: {place}/todo.txt (1 lines total)]\n1:"))
    return found


RUNS: dict[str, tuple[str, Callable[[Sandbox], Awaitable[list[Turn]]]]] = {
    "mini-swe-agent": ("/testbed", mini_swe_agent),
    "openhands": ("/workspace/lengths__1.0", openhands),
    "swe-agent": ("/lengths__lengths", swe_agent),
}


async def foreign_run(
    name: str, backend: SandboxBackend, profile: RepoProfile, task: TaskInstance, folder: Path
) -> Trajectory:
    """A run of this scaffold, written in its format and read again."""
    place, play = RUNS[name]
    env = SWEEnv([task], {profile.name: profile}, backend)
    try:
        await env.areset(task)
        turns = await play(env.sandbox)
        patch = await env.patch()
    finally:
        await env.aclose()
    prompt = f"<uploaded_files>\n{place}\n</uploaded_files>\n{task.problem_statement}"
    made = Trajectory(
        id="1" * 32,
        instance_id=task.instance_id,
        repo=task.repo,
        base_commit=task.base_commit,
        problem_statement=task.problem_statement,
        turns=turns,
        patch=patch,
        agent=name,
        extra={"user_prompt": prompt},
    )
    path = folder / {"mini-swe-agent": "run.traj.json", "openhands": "output.jsonl", "swe-agent": "run.traj"}[name]
    find(name).write([made], path)
    (read,) = find(name).read(path)
    assert [turn.tool_call for turn in read.turns] == [turn.tool_call for turn in turns]
    return read


def _turn(name: str, arguments: dict[str, str], observation: str, exit_code: int | None = None, text: str = "") -> Turn:
    call = ToolCall(name=name, arguments=arguments)
    return Turn(text=text or "Now.", tool_call=call, observation=observation, exit_code=exit_code)


def _theirs(text: str, place: str) -> str:
    return text.replace("/testbed", place)


def _state(observation: str, place: str) -> str:
    return f"{observation}\n(Open file: n/a)\n(Current directory: {place})\nbash-$"
