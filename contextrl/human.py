"""The person at the terminal goes on with an episode: the environment's tools as short commands.

Invariant: what is typed becomes exactly one action of the environment, or none and then a sentence says why; what the
environment answers cannot move the cursor.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from agents.episode import Episode
from agents.toolformat import FORMATS
from contextrl.forking import HUMAN
from envs.swe import SWEEnv
from envs.tools import Action
from sandbox.loop import run_sync
from sandbox.protocol import SandboxFileError
from trajectories.records import Turn
from trajectories.shortening import clean

HELP = """\
view PATH [START END]   show a file, some of its lines, or a folder
search TEXT [PATH]      find a text in the repository
edit PATH               change a file in $EDITOR; without one, type the old text, a line with a single dot, the new
                        text and another such line (no old text: a new file, or a whole function)
run_tests [TEST ...]    run the tests of the task, or these
submit                  hand in the repository; ends the episode
quit                    leave it, not handed in
help                    this"""
_END = "."


class Typo(ValueError):
    """What was typed is no command; the message says what is."""


class HumanSuccessor:
    """Reads commands and carries them out until the episode ends."""

    name = HUMAN

    def __init__(self, read: Callable[[str], str] = input, write: Callable[[str], None] = print) -> None:
        """`read` is given a prompt and returns a line; it raises `EOFError` at the end."""
        self._read, self._write = read, write

    def go_on(self, episode: Episode, replayed: Sequence[Turn]) -> None:
        """See `contextrl.forking.Successor`."""
        self._write(clean(episode.task.problem_statement).rstrip())
        many = "1 turn is" if len(replayed) == 1 else f"{len(replayed)} turns are"
        self._write(f"{many} replayed; `help` lists the commands.")
        while not episode.done:
            try:
                action = self._action(episode.env)
            except Typo as typo:
                self._write(str(typo))
                continue
            except (EOFError, KeyboardInterrupt):
                self._write("")
                return
            if action is None:
                return
            text, started = FORMATS["hermes"].render(action), time.perf_counter()
            self._write(clean(run_sync(episode.act(action, text=text, prompt_ids=[], started=started))).rstrip("\n"))

    def _action(self, env: SWEEnv) -> Action | None:
        """The next action; None to leave. Raises `Typo`, `EOFError`."""
        line = self._read("action> ").strip()
        try:
            name, *words = shlex.split(line)
        except ValueError as error:
            raise Typo(f"{error}: close the quotation") if line else Typo("`help` lists the commands") from None
        if name in ("quit", "exit"):
            return None
        if name == "help":
            raise Typo(HELP)
        if name == "edit" and len(words) == 1:
            return self._edit(env, words[0])
        return parsed(name, words)

    def _edit(self, env: SWEEnv, path: str) -> Action:
        editor = os.environ.get("EDITOR")
        if editor and sys.stdin.isatty():
            return edited(path, *_in_editor(editor, path, _text(env, path)))
        old, new = self._block("old text"), self._block("new text")
        return Action("edit", {"path": path, "new": new, **({"old": old.removesuffix("\n")} if old else {})})

    def _block(self, what: str) -> str:
        self._write(f"{what}, then a line with a single dot:")
        lines: list[str] = []
        while (line := self._read("")) != _END:
            lines.append(line + "\n")
        return "".join(lines)


def parsed(name: str, words: Sequence[str]) -> Action:
    """The action of a command line. Raises `Typo`."""
    if name == "view" and len(words) in (1, 2, 3):
        return Action("view", dict(zip(("path", "start", "end"), words, strict=False)))
    if name == "search" and len(words) in (1, 2):
        return Action("search", dict(zip(("pattern", "path"), words, strict=False)))
    if name == "run_tests":
        return Action("run_tests", {"tests": " ".join(words)} if words else {})
    if name == "submit" and not words:
        return Action("submit")
    known = next((line for line in HELP.splitlines() if line.split()[0] == name), "")
    raise Typo(f"usage: {known}" if known else f"there is no command {name!r}; `help` lists them")


def edited(path: str, before: str | None, after: str) -> Action:
    """The edit that leads from one text of a file to another. Raises `Typo` where there is nothing to do."""
    if before is None:
        return Action("edit", {"path": path, "new": after})
    if before == after:
        raise Typo(f"{path} is as it was")
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    same = zip(reversed(old[start:]), reversed(new[start:]), strict=False)
    end = next((i for i, (a, b) in enumerate(same) if a != b), min(len(old), len(new)) - start)
    first, last = start, len(old) - end
    while (first, last) != (0, len(old)):  # what is replaced must occur only once
        replaced = "".join(old[first:last])
        if replaced and before.count(replaced) == 1:
            break
        first, last = max(0, first - 1), min(len(old), last + 1)
    text = "".join(old[first:last])
    return Action("edit", {"path": path, "old": text, "new": "".join(new[first : len(new) - (len(old) - last)])})


def _text(env: SWEEnv, path: str) -> str | None:
    if env.sandbox is None:
        raise Typo("the episode is over")
    try:
        return run_sync(env.sandbox.read(path)).decode()
    except SandboxFileError:
        return None
    except UnicodeDecodeError:
        raise Typo(f"{path} is not a text file") from None


def _in_editor(editor: str, path: str, text: str | None) -> tuple[str | None, str]:
    """A file's text before and after it was edited."""
    with tempfile.TemporaryDirectory(prefix="edit-") as folder:
        file = Path(folder) / Path(path).name
        file.write_text(text or "", encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Typo(f"the editor {editor} failed ({error}): set EDITOR to one that works") from None
        return text, file.read_text(encoding="utf-8")
