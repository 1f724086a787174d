"""The editor `str_replace_editor` of SWE-agent 1.x and OpenHands: view, create, str_replace, insert, undo_edit.

Invariant: it changes a file exactly as theirs do, and answers in their words. Of an edit that went well both times it
shows the lines that were shown then, as they read now; what else versions of theirs write differently (tabs, an empty
last line, how the lines of a file are counted) `plain` takes away on both sides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from sandbox.protocol import TESTBED, Sandbox, SandboxFileError
from trajectories.replay.editor_answers import (
    EDITED,
    ELIDED,
    REVIEW,
    Refused,
    abbreviated,
    line_range,
    lines_shown,
    numbered,
)

_AROUND = 4
"""Lines that are shown before and behind an edit."""
_SAME = "`new_str` and `old_str` must be different."
_CORRECT = " (correct indentation, no duplicate lines, etc)"


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
        if ELIDED.search(recorded):
            return abbreviated(recorded, lines)
        first, last = line_range(arguments.get("view_range"), lines)
        return numbered("\n".join(lines[first - 1 : last]), path, first)

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
        if old == new and _SAME in recorded:  # a version of theirs that looks at this
            raise Refused(f"No replacement was performed. {_SAME}")
        count = text.count(old) if old else 0
        if not count and old.expandtabs() != old and "\t" not in text:
            old, new = old.expandtabs(), new.expandtabs()
            count = text.count(old)
        if not count and old.strip() and text.count(old.strip()) == 1 and EDITED in recorded:
            old, new, count = old.strip(), new.strip(), 1  # later versions try this, too
        if not count:
            raise Refused(f"No replacement was performed, old_str `{old}` did not appear verbatim in {path}.")
        if count > 1:
            places = [n for n, line in enumerate(text.split("\n"), 1) if old.split("\n")[0] in line]
            raise Refused(
                f"No replacement was performed. Multiple occurrences of old_str `{old}` in lines {places}. "
                "Please ensure it is unique."
            )
        after = text.replace(old, new)
        await self._save(path, text, after)
        lines, line = after.split("\n"), text.split(old)[0].count("\n")
        first, last = lines_shown(recorded) or (max(1, line + 1 - _AROUND), line + 1 + _AROUND + new.count("\n"))
        shown = numbered("\n".join(lines[first - 1 : last]), f"a snippet of {path}", first)
        return f"The file {path} {EDITED}. {shown}{REVIEW}. Edit the file again if necessary."

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
        after = [*lines[:at], *new, *lines[at:]]
        await self._save(path, text, "\n".join(after))
        first, last = lines_shown(recorded) or (max(1, at - _AROUND + 1), at + len(new) + _AROUND)
        shown = numbered("\n".join(after[first - 1 : last]), "a snippet of the edited file", first)
        return f"The file {path} {EDITED}. {shown}{REVIEW}{_CORRECT}. Edit the file again if necessary."

    async def _undo(self, path: str, arguments: Mapping[str, str], recorded: str) -> str:
        if not self._history.get(path):
            raise Refused(f"No edit history found for {path}.")
        await self._write(path, text := self._history[path].pop())
        return f"Last edit to {path} undone successfully. {numbered(text, path, 1)}"

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
