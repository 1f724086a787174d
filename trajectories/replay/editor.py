"""The editor `str_replace_editor` of SWE-agent 1.x and OpenHands: view, create, str_replace, insert, undo_edit.

Invariant: it changes a file exactly as theirs do, and answers in their words; what versions of theirs write differently
(tabs, an empty last line) `plain` takes away on both sides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping

from sandbox.protocol import TESTBED, Sandbox, SandboxFileError

_AROUND = 4
"""Lines that are shown before and behind an edit."""
_ELIDED = re.compile(r"<NOTE>This file is too large to display entirely")
_NUMBERED = re.compile(r"^ *(\d+)[\t ](.*)$")
_CLIPPED = re.compile(r"<response clipped>.*", re.DOTALL)
_REVIEW = "Review the changes and make sure they are as expected"
_CORRECT = " (correct indentation, no duplicate lines, etc)"


class Refused(Exception):
    """What the editor answers to a mistake."""


class OutOfReach(Exception):
    """A file that no sandbox of ours lets anybody write, so that the call cannot be done again."""


class Editor:
    """Edits the files of one sandbox, and remembers what it wrote over."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._history: dict[str, list[str]] = {}

    async def call(self, arguments: Mapping[str, str], recorded: str) -> str:
        """The answer. `recorded` is that of then, which alone tells how a long file was abbreviated.

        Raises `OutOfReach`, `SandboxError`.
        """
        commands: dict[str, Callable[[str, Mapping[str, str], str], Awaitable[str]]] = {
            "view": self._view,
            "create": self._create,
            "str_replace": self._replace,
            "insert": self._insert,
            "undo_edit": self._undo,
        }
        name, path = arguments.get("command", ""), arguments.get("path", "")
        if name not in commands:
            return f"Unrecognized command {name}. The allowed commands are: {', '.join(commands)}"
        try:
            return await commands[name](path, arguments, recorded)
        except Refused as refusal:
            return str(refusal)

    async def _view(self, path: str, arguments: Mapping[str, str], recorded: str) -> str:
        if (await self._sandbox.run(["test", "-d", path])).exit_code == 0:
            if arguments.get("view_range"):
                raise Refused("The `view_range` parameter is not allowed when `path` points to a directory.")
            find = ["find", path, "-maxdepth", "2", "-not", "-path", "*/.*"]
            found = (await self._sandbox.run(find)).stdout
            return f"Here's the files and directories up to 2 levels deep in {path}, excluding hidden items:\n{found}\n"
        text = await self._read(path)
        lines = text.split("\n")
        if _ELIDED.search(recorded):
            return _abbreviated(recorded, lines)
        first, last = _range(arguments.get("view_range"), lines)
        return _numbered("\n".join(lines[first - 1 : last]), path, first)

    async def _create(self, path: str, arguments: Mapping[str, str], recorded: str) -> str:
        if "file_text" not in arguments:
            raise Refused("Parameter `file_text` is required for command: create.")
        if (await self._sandbox.run(["test", "-e", path])).exit_code == 0:
            raise Refused(f"File already exists at: {path}. Cannot overwrite files using command `create`.")
        await self._write(path, arguments["file_text"])
        self._history.setdefault(path, []).append(arguments["file_text"])
        return f"File created successfully at: {path}"

    async def _replace(self, path: str, arguments: Mapping[str, str], recorded: str) -> str:
        if "old_str" not in arguments:
            raise Refused("Parameter `old_str` is required for command: str_replace.")
        old, new = arguments["old_str"], arguments.get("new_str", "")
        text = await self._read(path)
        count = text.count(old) if old else 0
        if not count and old.expandtabs() != old and "\t" not in text:
            old, new = old.expandtabs(), new.expandtabs()
            count = text.count(old)
        if not count and old.strip() and text.count(old.strip()) == 1 and "has been edited" in recorded:
            old, new, count = old.strip(), new.strip(), 1  # later versions try this, too
        if not count:
            raise Refused(f"No replacement was performed, old_str `{old}` did not appear verbatim in {path}.")
        if count > 1:
            lines = [n for n, line in enumerate(text.split("\n"), 1) if old.split("\n")[0] in line]
            raise Refused(
                f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines {lines}. "
                "Please ensure it is unique."
            )
        after = text.replace(old, new)
        await self._save(path, text, after)
        line = text.split(old)[0].count("\n")
        start, end = max(0, line - _AROUND), line + _AROUND + new.count("\n")
        shown = _numbered("\n".join(after.split("\n")[start : end + 1]), f"a snippet of {path}", start + 1)
        return f"The file {path} has been edited. {shown}{_REVIEW}. Edit the file again if necessary."

    async def _insert(self, path: str, arguments: Mapping[str, str], recorded: str) -> str:
        for name in ("insert_line", "new_str"):
            if name not in arguments:
                raise Refused(f"Parameter `{name}` is required for command: insert.")
        text = await self._read(path)
        lines = text.split("\n")
        try:
            at = int(arguments["insert_line"])
        except ValueError:
            raise Refused(f"Invalid `insert_line` parameter: {arguments['insert_line']}.") from None
        if not 0 <= at <= len(lines):
            raise Refused(
                f"Invalid `insert_line` parameter: {at}. It should be within the range of lines of the file: "
                f"[0, {len(lines)}]"
            )
        new = arguments["new_str"].split("\n")
        await self._save(path, text, "\n".join([*lines[:at], *new, *lines[at:]]))
        shown = "\n".join([*lines[max(0, at - _AROUND) : at], *new, *lines[at : at + _AROUND]])
        snippet = _numbered(shown, "a snippet of the edited file", max(1, at - _AROUND + 1))
        return f"The file {path} has been edited. {snippet}{_REVIEW}{_CORRECT}. Edit the file again if necessary."

    async def _undo(self, path: str, arguments: Mapping[str, str], recorded: str) -> str:
        if not self._history.get(path):
            raise Refused(f"No edit history found for {path}.")
        await self._write(path, text := self._history[path].pop())
        return f"Last edit to {path} undone successfully. {_numbered(text, path, 1)}"

    async def _read(self, path: str) -> str:
        if not path.startswith("/"):
            raise Refused(f"The path {path} is not an absolute path, it should start with `/`. ")
        try:
            return (await self._sandbox.read(path)).decode(errors="replace")
        except SandboxFileError:
            if not path.startswith((TESTBED, "/tmp/")):
                raise OutOfReach(f"{path} lies outside of the repository") from None
            raise Refused(
                f"Invalid `path` parameter: {path}. The path {path} does not exist. Please provide a valid path."
            ) from None

    async def _save(self, path: str, before: str, after: str) -> None:
        await self._write(path, after)
        self._history.setdefault(path, []).append(before)

    async def _write(self, path: str, text: str) -> None:
        try:
            await self._sandbox.write({path: text.encode(errors="surrogateescape")})
        except SandboxFileError:
            raise OutOfReach(f"{path} cannot be written in a sandbox") from None


def plain(answer: str) -> str:
    """An answer without what versions of the editor write differently, and as far as a long file was shown."""
    text = answer.replace("\r\n", "\n").removeprefix("OBSERVATION:\n").removeprefix("ERROR:\n")
    text = re.sub(r"(?m)^( *\d+)[\t ]", r"\1\t", text).expandtabs()
    if clipped := _CLIPPED.search(text):
        text = text[: text.rfind("\n", 0, clipped.start()) + 1] + "<response clipped>"
    text = re.sub(rf"(?:\n *\d+ *)+(?=\n(?:{_REVIEW}|\Z)|\Z)", "", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def shown_alike(expected: str, got: str) -> str:
    """What of an answer there is to compare where the recorded one was clipped."""
    head, clipped, _ = expected.partition("<response clipped>")
    return head + clipped if clipped and got.startswith(head) else got


def _numbered(text: str, what: str, first: int) -> str:
    lines = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(text.split("\n"), first))
    return f"Here's the result of running `cat -n` on {what}:\n{lines}\n"


def _range(text: str | None, lines: list[str]) -> tuple[int, int]:
    if not text or text == "null":
        return 1, len(lines)
    try:
        first, last = (int(number) for number in json.loads(text))
    except (ValueError, TypeError):
        raise Refused("Invalid `view_range`. It should be a list of two integers.") from None
    count, wrong = len(lines), f"Invalid `view_range` parameter: [{first}, {last}]."
    if not 1 <= first <= count:
        within = f"should be within the range of lines of the file: [1, {count}]."
        raise Refused(f"{wrong} Its first element `{first}` {within}")
    if last > count:
        raise Refused(
            f"{wrong} Its second element `{last}` should be smaller than the number of lines in the file: `{count}`."
        )
    if last != -1 and last < first:
        raise Refused(
            f"{wrong} Its second element `{last}` should be greater than or equal to the first element `{first}`."
        )
    return first, count if last == -1 else last


def _abbreviated(recorded: str, lines: list[str]) -> str:
    """The recorded abbreviation with every line that it shows as that reads now: what was left out is its choice."""

    def now(line: str) -> str:
        found = _NUMBERED.match(line)
        number = int(found[1]) if found else 0
        if not found or not 1 <= number <= len(lines) or "eliding lines" in line:
            return line
        return f"{line[: found.start(2)]}{lines[number - 1]}"

    return "\n".join(map(now, recorded.replace("\r\n", "\n").split("\n")))
