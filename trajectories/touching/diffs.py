"""Unified diffs as others write them: read leniently, applied strictly.

Invariant: reading never fails, since a patch that no tool applies still says which files it is about; `apply` gives a
result only where every hunk fits the text exactly at its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
_ESCAPE = re.compile(rb'\\([0-7]{3}|[abtnvfr"\\])')
_ESCAPED = dict(zip(b'abtnvfr"\\', b'\a\b\t\n\v\f\r"\\', strict=True))


@dataclass
class Hunk:
    """One hunk. Lines are `(sign, text)` with their newline; `start` is the 1-based first line of the old side."""

    start: int
    new_start: int
    heading: str
    """What git writes after the second `@@`: the nearest line above that looks like a definition."""
    lines: list[tuple[str, str]] = field(default_factory=list)

    def side(self, signs: str) -> list[str]:
        """The lines with one of the signs: `" -"` is the old side, `" +"` the new one."""
        return [text for sign, text in self.lines if sign in signs]

    def numbered(self, sign: str) -> Iterator[tuple[int, str]]:
        """The lines with this sign, `-` or `+`, and their numbers on their own side."""
        number = self.start if sign == "-" else self.new_start
        for mark, text in self.lines:
            if mark == sign:
                yield number, text
            number += mark in (" ", sign)


@dataclass
class FileDiff:
    """What happens to one file. `old` None: it is new; `new` None: it is deleted."""

    old: str | None
    new: str | None
    hunks: list[Hunk] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """Its path, or both where it was renamed."""
        return list(dict.fromkeys(path for path in (self.old, self.new) if path))


def parse(patch: str) -> list[FileDiff]:
    """The files of a unified diff, in git's format or plain. What is no diff is passed over."""
    lines = patch.split("\n")
    files: list[FileDiff] = []
    at = 0
    while at < len(lines):
        line = lines[at].rstrip("\r")
        at += 1
        if line.startswith("diff --git "):
            path = _same_path(line)
            files.append(FileDiff(path, path))
        elif line.startswith("--- ") and at < len(lines) and lines[at].startswith("+++ "):
            if files and not files[-1].hunks:
                files.pop()  # its `diff --git` line said the same
            files.append(FileDiff(_side(line, "a/"), _side(lines[at].rstrip("\r"), "b/")))
            at += 1
        elif files and (head := _HUNK.match(line)):
            at = _read_hunk(lines, at, head, files[-1])
        elif files and not files[-1].hunks:
            _extended(line, files[-1])
    return [item for item in files if item.paths]


def _read_hunk(lines: list[str], at: int, head: re.Match[str], item: FileDiff) -> int:
    start, old, new_start, new = (1 if part is None else int(part) for part in head.groups()[:4])
    # An empty side is numbered by the line before it.
    hunk = Hunk(start + (old == 0), new_start + (new == 0), head[5].strip())
    item.hunks.append(hunk)
    while (old > 0 or new > 0) and at < len(lines):
        sign = lines[at].rstrip("\r")[:1] or " "
        if sign not in " +-":
            break
        hunk.lines.append((sign, lines[at][1:] + "\n"))
        old -= sign in " -"
        new -= sign in " +"
        at += 1
        if at < len(lines) and lines[at].startswith("\\ "):
            hunk.lines[-1] = (sign, hunk.lines[-1][1][:-1])
            at += 1
    return at


def apply(source: str, hunks: list[Hunk]) -> str | None:
    """The text after the hunks; None where one does not fit."""
    lines = [line + "\n" for line in source.split("\n")]
    lines[-1] = lines[-1][:-1]
    result: list[str] = []
    done = 0
    for hunk in hunks:
        old = hunk.side(" -")
        first = hunk.start - 1
        if first < done or lines[first : first + len(old)] != old:
            return None
        result += lines[done:first] + hunk.side(" +")
        done = first + len(old)
    return "".join(result + lines[done:])


def _extended(line: str, item: FileDiff) -> None:
    if line.startswith("new file mode "):
        item.old = None
    elif line.startswith("deleted file mode "):
        item.new = None
    elif line.startswith("rename from "):
        item.old = _unquoted(line.removeprefix("rename from "))
    elif line.startswith(("rename to ", "copy to ")):
        item.new = _unquoted(line.partition(" to ")[2])


def _same_path(line: str) -> str | None:
    both = line.removeprefix("diff --git ")
    half = len(both) // 2
    left, right = _unquoted(both[:half]), _unquoted(both[half + 1 :])
    return left[2:] if left.startswith("a/") and right == f"b/{left[2:]}" else None


def _side(line: str, prefix: str) -> str | None:
    path = _unquoted(line[4:].partition("\t")[0])
    return None if path == "/dev/null" else path.removeprefix(prefix)


def _unquoted(path: str) -> str:
    """A path as git quotes it where it holds unusual characters."""
    if not (len(path) > 1 and path.startswith('"') and path.endswith('"')):
        return path

    def byte(found: re.Match[bytes]) -> bytes:
        return bytes([_ESCAPED[found[1][0]] if found[1][0] in _ESCAPED else int(found[1], 8) & 255])

    return _ESCAPE.sub(byte, path[1:-1].encode()).decode(errors="replace")
