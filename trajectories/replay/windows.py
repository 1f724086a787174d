"""SWE-agent's classic commands, which show a file through a window: open, goto, scroll, create, edit, find and search.

Invariant: an edit changes the file as theirs does. Where a window stands is a matter of the version and no fact of the
repository: an answer is the recorded one with every line that it shows, and every count, as they are now.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping

from sandbox.protocol import TESTBED, Sandbox, SandboxFileError
from trajectories.replay.editor import OutOfReach

COMMANDS = frozenset(
    ("open", "goto", "scroll_up", "scroll_down", "create", "edit", "find_file", "search_dir", "search_file")
)
_LINE = re.compile(r"^(\d+):(.*)$")
_FILE = re.compile(r"^\[File: (\S+) \((\d+) lines total\)\]$")
_BELOW = re.compile(r"^\((\d+) more lines below\)$")
_REJECTED = "Your proposed edit has introduced new syntax error(s)"


class Windows:
    """The commands on one sandbox; knows which file is open."""

    def __init__(self, sandbox: Sandbox, *, quoted: bool = False) -> None:
        """`quoted`: all texts among the arguments stand between quotes, as some data sets write them."""
        self._sandbox, self._quoted = sandbox, quoted
        self._open = ""
        self.linted = False
        """Whether the last answer took from the record what a linter had said, which is not asked again."""

    async def call(self, name: str, arguments: Mapping[str, str], recorded: str) -> str:
        """The answer. Raises `OutOfReach`, `SandboxError`."""
        self.linted = False
        values = {key: _unquoted(value) for key, value in arguments.items()} if self._quoted else arguments
        if name in ("find_file", "search_dir", "search_file"):
            return await self._search(name, values)
        if name == "open":
            return await self._show(await self._absolute(values.get("path", "")), recorded)
        if name == "create":
            path = await self._absolute(values.get("filename", ""))
            if await self._read(path) is not None and "already exists" in recorded:
                return recorded
            await self._write(path, "\n" if "(1 lines total)" in recorded else "")
            return await self._show(path, recorded)
        if name == "edit":
            return await self._edit(values, recorded)
        return await self._show(self._open, recorded) if self._open else "No file open. Use the open command first."

    async def _edit(self, arguments: Mapping[str, str], recorded: str) -> str:
        text = await self._read(self._open) if self._open else None
        if text is None:
            return "No file open. Use the `open` command first."
        after = _edited(text, arguments, recorded)
        if after is None:
            return f"Text not found: {arguments.get('search', '')}"
        if _REJECTED in recorded:  # its linter knows more errors than the interpreter does
            self.linted = not _is_broken(self._open, after) or _is_broken(self._open, text)
            return _windowed(recorded, after, text)
        await self._write(self._open, after)
        return await self._show(self._open, recorded)

    async def _show(self, path: str, recorded: str) -> str:
        text = await self._read(path)
        if text is None:
            return f"Error: File {path} not found"
        self._open = path
        return _windowed(recorded, text, text)

    async def _search(self, name: str, arguments: Mapping[str, str]) -> str:
        if name == "find_file":
            folder, wanted = await self._absolute(arguments.get("dir", ".")), arguments.get("file_name", "")
            found = (await self._sandbox.run(["find", folder, "-type", "f", "-name", wanted])).stdout.splitlines()
            if not found:
                return f'No matches found for "{wanted}" in {folder}'
            return "\n".join([f'Found {len(found)} matches for "{wanted}" in {folder}:', *sorted(found)])
        term = arguments.get("search_term", "")
        if name == "search_file":
            path = await self._absolute(arguments["file"]) if arguments.get("file") else self._open
            hits = (await self._sandbox.run(["grep", "-nIH", "--", term, path])).stdout.splitlines()
            lines = [f"Line {hit.removeprefix(path + ':')}" for hit in hits]
        else:
            path = await self._absolute(arguments.get("dir", "."))
            grep = f"find {shlex.quote(path)} -type f ! -path '*/.*' -exec grep -nIH -- {shlex.quote(term)} {{}} +"
            hits = (await self._sandbox.run(["bash", "-c", f"{grep} | cut -d: -f1 | sort"])).stdout.splitlines()
            lines = [f"{file} ({hits.count(file)} matches)" for file in dict.fromkeys(hits)]
        if not hits:
            return f'No matches found for "{term}" in {path}'
        head, end = f'Found {len(hits)} matches for "{term}" in {path}:', f'End of matches for "{term}" in {path}'
        return "\n".join([head, *lines, end])

    async def _absolute(self, path: str) -> str:
        """The path as the shell has it: its working directory stays from command to command."""
        said = await self._sandbox.run(f"builtin pwd; realpath -m -- {shlex.quote(path)}")
        found = said.stdout.splitlines()
        return found[1] if len(found) > 1 else f"{TESTBED}/{path}"

    async def _read(self, path: str) -> str | None:
        try:
            return (await self._sandbox.read(path)).decode(errors="replace")
        except SandboxFileError:
            return None

    async def _write(self, path: str, text: str) -> None:
        try:
            await self._sandbox.write({path: text.encode(errors="replace")})
        except SandboxFileError:
            raise OutOfReach(f"{path} cannot be written in a sandbox") from None


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _edited(text: str, arguments: Mapping[str, str], recorded: str) -> str | None:
    """The file after an edit of lines, or of a text in its window; None where that text is not there."""
    if "search" in arguments:
        search, replace = arguments["search"], arguments.get("replace", "")
        if search not in text:
            return None
        shown = [int(found[1]) for line in recorded.splitlines() if (found := _LINE.match(line.rstrip("\r")))]
        start = len("".join(text.splitlines(keepends=True)[: shown[0] - 1])) if shown else 0
        at = text.find(search, start)
        at = at if at >= 0 else text.find(search)
        return text[:at] + replace + text[at + len(search) :]
    lines = text.splitlines(keepends=True)
    try:
        first = int(arguments.get("start_line", ""))
        last = int(arguments.get("end_line", "") or first)
    except ValueError:
        return None
    new = arguments.get("replacement_text", "")
    new += "\n" if new and not new.endswith("\n") else ""
    return "".join([*lines[: first - 1], new, *lines[last:]])


def _windowed(recorded: str, shown: str, second: str) -> str:
    """The recorded answer with the lines that it shows as they read now; in a second window, those of `second`."""
    found: list[str] = []
    texts, lines, last = iter((shown, second)), shown.splitlines(), 0
    for line in recorded.replace("\r\n", "\n").split("\n"):
        if file := _FILE.match(line):
            lines, last = next(texts, second).splitlines(), 0
            found.append(f"[File: {file[1]} ({max(len(lines), int(file[2] == '1'))} lines total)]")
        elif numbered := _LINE.match(line):
            last = int(numbered[1])
            found.append(f"{last}:{lines[last - 1] if last <= len(lines) else ''}")
        elif _BELOW.match(line):
            found.append(f"({max(0, len(lines) - last)} more lines below)")
        else:
            found.append(line)
    return "\n".join(found)


def _is_broken(path: str, text: str) -> bool:
    """Whether the interpreter cannot read it."""
    if not path.endswith(".py"):
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return True
    return False
