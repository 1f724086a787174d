"""Unified diffs in git's format, made and applied in pure Python.

Invariant: `apply_patch(before.get, make_patch(before, after))` gives back `after` exactly, to the last byte, for
every path that differs. Application is strict (exact lines at the exact place): a patch means one thing or is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from envs.definitions import changed_definitions, touched_functions

__all__ = [
    "ForbiddenPatch",
    "PatchError",
    "apply_patch",
    "changed_definitions",
    "check_path",
    "make_patch",
    "touched_files",
]
__all__ += ["touched_functions"]

CONTEXT = 3
NO_NEWLINE = "\\ No newline at end of file"
_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_UNUSUAL = re.compile(r'[\x00-\x1f\x7f"\\]')


class PatchError(ValueError):
    """A patch that cannot be made, read or applied; the message names the file and the hunk."""


class ForbiddenPatch(PatchError):
    """A patch that leads out of the repository, or into git's own files: nobody makes one by mistake."""


@dataclass
class _Hunk:
    start: int
    """0-based first line of the old side."""
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)


@dataclass
class _FilePatch:
    old: str | None
    """Path before, None for a new file."""
    new: str | None
    hunks: list[_Hunk] = field(default_factory=list)

    @property
    def path(self) -> str:
        return self.new or self.old or ""


def check_path(path: str) -> str:
    """The path, if it names a file inside the repository; else `PatchError`."""
    if _UNUSUAL.search(path) or not {"", ".", "..", ".git"}.isdisjoint(path.split("/")):
        raise ForbiddenPatch(f"{path!r} is not a path inside the repository")
    return path


def split_lines(text: str) -> list[str]:
    """Lines with their newline, as git counts them: only a line feed ends a line."""
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def make_patch(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> str:
    """The diff from one state of some files to another. None and missing: no such file there."""
    return "".join(
        _diff(check_path(path), before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    )


def _diff(path: str, old: str | None, new: str | None) -> str:
    head = [f"diff --git a/{path} b/{path}"]
    if old is None:
        head.append("new file mode 100644")
    if new is None:
        head.append("deleted file mode 100644")
    hunks = list(_hunks(split_lines(old or ""), split_lines(new or "")))
    if hunks:  # git ends a path that has a space with a tab
        tab = "\t" if " " in path else ""
        head.append("--- /dev/null" if old is None else f"--- a/{path}{tab}")
        head.append("+++ /dev/null" if new is None else f"+++ b/{path}{tab}")
    return "\n".join(head) + "\n" + "".join(hunks)


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Hunks as text. What both sides share at either end is cut off first: edits are small, files long."""
    shared = 0
    while shared < min(len(old), len(new)) and old[shared] == new[shared]:
        shared += 1
    tail = 0
    while tail < min(len(old), len(new)) - shared and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    skip, keep = max(0, shared - CONTEXT), max(0, tail - CONTEXT)
    old, new = old[skip : len(old) - keep], new[skip : len(new) - keep]
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT):
        (_, i1, _, j1, _), (_, _, i2, _, j2) = group[0], group[-1]
        yield f"@@ -{_range(skip + i1, i2 - i1)} +{_range(skip + j1, j2 - j1)} @@\n"
        for tag, a, b, c, d in group:
            if tag == "equal":
                yield from (_line(" ", line) for line in old[a:b])
            else:
                yield from (_line("-", line) for line in old[a:b])
                yield from (_line("+", line) for line in new[c:d])


def _range(start: int, length: int) -> str:
    """Git counts from 1, and an empty range stands after its line."""
    return f"{start + (length > 0)}" + ("" if length == 1 else f",{length}")


def _line(sign: str, line: str) -> str:
    return sign + line if line.endswith("\n") else f"{sign}{line}\n{NO_NEWLINE}\n"


def touched_files(patch: str) -> list[str]:
    """Paths that the patch creates, changes or deletes, in its order. Raises `PatchError`."""
    paths = (path for item in _parse(patch) for path in (item.old, item.new) if path)
    return list(dict.fromkeys(paths))


def apply_patch(read: Callable[[str], str | None], patch: str) -> dict[str, str | None]:
    """Path -> contents after the patch (None: deleted), for every path it touches.

    `read` gives the contents before, None where there is no such file. Contents only: modes are not carried
    over; symbolic links, submodules and binary files are refused. Raises `PatchError`; nothing is half-applied.
    """
    result: dict[str, str | None] = {}
    for item in _parse(patch):
        before = None
        if item.old is not None:
            before = result[item.old] if item.old in result else read(item.old)
            if before is None:
                raise PatchError(f"{item.old}: no such file to patch")
            result[item.old] = None
        if item.new is not None and (result[item.new] if item.new in result else read(item.new)) is not None:
            raise PatchError(f"{item.new}: the patch creates a file that is there already")
        lines = _apply(item, split_lines(before or ""))
        if item.new is None and lines:
            raise PatchError(f"{item.path}: the patch deletes the file but leaves lines in it")
        if item.new is not None:
            result[item.new] = "".join(lines)
    for path in (path for path, text in result.items() if text is not None):
        if any(result.get(path[:i]) is not None for i, char in enumerate(path) if char == "/"):
            raise PatchError(f"{path}: the patch makes one of its folders a file")
    return result


def _apply(item: _FilePatch, lines: list[str]) -> list[str]:
    result: list[str] = []
    done = 0
    for number, hunk in enumerate(item.hunks, 1):
        end = hunk.start + len(hunk.old)
        if hunk.start < done or lines[hunk.start : end] != hunk.old:
            raise PatchError(f"{item.path}: hunk {number} does not match the file at line {hunk.start + 1}")
        result += lines[done : hunk.start] + hunk.new
        done = end
    result += lines[done:]
    if not all(line.endswith("\n") for line in result[:-1]):
        raise PatchError(f"{item.path}: a line in the middle of the file has no newline")
    return result


def _parse(patch: str) -> list[_FilePatch]:
    lines = patch.removesuffix("\n").split("\n")
    files: list[_FilePatch] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        if line.startswith("diff --git "):
            path = _same_path(line)
            files.append(_FilePatch(path, path))
        elif line.startswith("--- ") and index < len(lines) and lines[index].startswith("+++ "):
            item = _FilePatch(_side(line, "a/"), _side(lines[index], "b/"))
            if files and not files[-1].hunks:
                files.pop()  # its `diff --git` line said the same
            files.append(item)
            index += 1
        elif line.startswith("@@ ") and files:
            hunk, index = _parse_hunk(lines, index - 1, files[-1])
            files[-1].hunks.append(hunk)
        else:
            _extended_header(line, files)
    for item in files:
        for path in {item.old, item.new} - {None}:
            check_path(path or "")
        if item.old is None and item.new is None:
            raise PatchError("a file in the patch has no name")
    return files


_MODE = re.compile(r"(?:old mode|new mode|new file mode|deleted file mode|index \w+\.\.\w+) (\d{6})")


def _extended_header(line: str, files: list[_FilePatch]) -> None:
    if line.startswith(("GIT binary patch", "Binary files ")):
        raise PatchError(f"{files[-1].path if files else 'the patch'}: binary files are refused")
    if not files or files[-1].hunks:
        return
    item = files[-1]
    mode = _MODE.match(line)
    if mode and mode[1] not in ("100644", "100755"):
        raise ForbiddenPatch(f"{item.path}: mode {mode[1]} is refused (a link or a submodule)")
    if line.startswith("new file mode "):
        item.old = None
    elif line.startswith("deleted file mode "):
        item.new = None
    elif line.startswith("rename from "):
        item.old = line.removeprefix("rename from ")
    elif line.startswith("rename to "):
        item.new = line.removeprefix("rename to ")
    elif line.startswith("copy "):
        raise PatchError(f"{item.path}: copies are refused")


def _same_path(line: str) -> str | None:
    """The path of `diff --git a/PATH b/PATH`; None where the two differ (later headers say them)."""
    both = line.removeprefix("diff --git ")
    half = len(both) // 2
    left, right = both[:half], both[half + 1 :]
    same = left.startswith("a/") and right.startswith("b/") and left[2:] == right[2:]
    return left[2:] if same else None


def _side(line: str, prefix: str) -> str | None:
    path = line[4:].partition("\t")[0].rstrip("\r")
    return None if path == "/dev/null" else path.removeprefix(prefix)


def _parse_hunk(lines: list[str], index: int, item: _FilePatch) -> tuple[_Hunk, int]:
    where = f"{item.path}: hunk {len(item.hunks) + 1}"
    header = _HUNK.match(lines[index])
    if header is None:
        raise PatchError(f"{where} has a broken header {lines[index]!r}")
    start, old, _, new = (1 if part is None else int(part) for part in header.groups())
    hunk = _Hunk(start - (old > 0))
    index += 1
    while len(hunk.old) < old or len(hunk.new) < new:
        if index >= len(lines):
            raise PatchError(f"{where} ends too early")
        sign, text = lines[index][:1] or " ", lines[index][1:] + "\n"
        index += 1
        if sign not in " +-":
            raise PatchError(f"{where} has a line that starts with {sign!r}")
        if index < len(lines) and lines[index].startswith("\\ "):
            text = text[:-1]
            index += 1
        hunk.old += [text] if sign in " -" else []
        hunk.new += [text] if sign in " +" else []
    if (len(hunk.old), len(hunk.new)) != (old, new):
        raise PatchError(f"{where} has more lines than its header says")
    return hunk, index
