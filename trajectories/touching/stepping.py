"""What one step changed in a repository, told from all that had changed before it and after it.

Invariant: applied to the files as they were before the step, the result gives the files as they were after it. Of the
files only what the two diffs show is known; it is enough, since a step changes nothing that neither of them shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import islice

from trajectories.touching.diffs import FileDiff, Hunk, parse

_CONTEXT = 3
_MOST = 25_000_000
"""Lines of the one state times lines of the other, beyond which two are not compared line by line."""


def step_diff(before: str, after: str) -> str:
    """A unified diff of the step between two cumulative ones; empty where it changed nothing."""
    if before == after:
        return ""
    old, new = _files(before), _files(after)
    return "".join(_of_file(path, old.get(path), new.get(path)) for path in sorted(old.keys() | new.keys()))


@lru_cache(maxsize=4)  # what is after one step is before the next
def _files(text: str) -> Mapping[str, FileDiff]:
    return {item.new or item.old or "": item for item in parse(text)}


def _of_file(path: str, old: FileDiff | None, new: FileDiff | None) -> str:
    if old and new and (old.hunks, old.old, old.new) == (new.hunks, new.old, new.new):
        return ""
    heads = [item.hunks if item else [] for item in (old, new)]
    same = next((i for i, (a, b) in enumerate(zip(*heads, strict=False)) if a != b), min(map(len, heads)))
    shift = sum(len(hunk.side(" +")) - len(hunk.side(" -")) for hunk in heads[0][:same])
    heads = [hunks[same:] for hunks in heads]  # what is the same before all that differs moves it, and no more
    base = _known(heads)
    was, now = (_applied(base, hunks) for hunks in heads)
    gone_before, gone_after = _absent(old, new), _absent(new, old)
    lines = "".join(_hunks(was, now, shift))
    if not lines and gone_before != gone_after:  # an empty file has no hunk that says so
        return f"diff --git a/{path} b/{path}\n{'new' if gone_before else 'deleted'} file mode 100644\n"
    left = "/dev/null" if gone_before else f"a/{path}"
    right = "/dev/null" if gone_after else f"b/{path}"
    return f"--- {left}\n+++ {right}\n{lines}"


def _absent(item: FileDiff | None, other: FileDiff | None) -> bool:
    """Whether the file is not there in a state. Without a diff of its own it is as it was given."""
    if item is None:
        return other is not None and other.old is None
    return item.new is None


def _known(heads: Sequence[Sequence[Hunk]]) -> list[str | None]:
    """The lines of the file as it was given that the diffs show, None for the others."""
    shown = {number: text for hunks in heads for hunk in hunks for number, text in _old_lines(hunk)}
    return [shown.get(number) for number in range(1, max(shown, default=0) + 1)]


def _old_lines(hunk: Hunk) -> Iterator[tuple[int, str]]:
    return ((hunk.start + i, text) for i, text in enumerate(hunk.side(" -")))


Line = tuple[int, str]
"""A line that is not known is (its number, ""); one that is, (0, its text)."""


def _applied(base: Sequence[str | None], hunks: Sequence[Hunk]) -> list[Line]:
    result: list[Line] = []
    done = 0
    lines: list[Line] = [(0, text) if text is not None else (i, "") for i, text in enumerate(base, 1)]
    for hunk in hunks:
        first = max(done, hunk.start - 1)
        result += lines[done:first] + [(0, text) for text in hunk.side(" +")]
        done = first + len(hunk.side(" -"))
    return result + lines[done:]


def _hunks(old: Sequence[Line], new: Sequence[Line], shift: int) -> Iterator[str]:
    shorter = min(len(old), len(new))
    first = _alike(zip(old, new, strict=False), shorter)
    last = _alike(zip(reversed(old), reversed(new), strict=False), shorter - first)
    start, end = max(0, first - _CONTEXT), max(0, last - _CONTEXT)
    old, new = old[start : len(old) - end], new[start : len(new) - end]
    start += shift
    if len(old) * len(new) > _MOST:
        return (yield _hunk([*(("-", line) for line in old), *(("+", line) for line in new)], start, start))
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT):
        rows: list[tuple[str, Line]] = []
        for tag, a, b, c, d in group:
            if tag == "equal":
                rows += [(" ", line) for line in old[a:b]]
            else:
                rows += [("-", line) for line in old[a:b]] + [("+", line) for line in new[c:d]]
        yield _hunk(rows, start + group[0][1], start + group[0][3])


def _alike(both: Iterable[tuple[Line, Line]], most: int) -> int:
    """How many of the first are the same, at most so many."""
    return next((i for i, (a, b) in enumerate(islice(both, most)) if a != b), most)


def _hunk(rows: Sequence[tuple[str, Line]], old: int, new: int) -> str:
    """A hunk of rows that begin after so many lines. Lines that nobody knows are no context."""
    skipped = next((i for i, (_, line) in enumerate(rows) if not line[0]), len(rows))
    kept = [(sign, text) for sign, (number, text) in rows[skipped:] if not number]
    sizes = [sum(sign in signs for sign, _ in kept) for signs in (" -", " +")]
    head = f"@@ -{_range(old + skipped, sizes[0])} +{_range(new + skipped, sizes[1])} @@\n"
    return head + "".join(_written(sign, text) for sign, text in kept)


def _range(start: int, size: int) -> str:
    return f"{start + (size > 0)},{size}"


def _written(sign: str, text: str) -> str:
    return sign + text if text.endswith("\n") else f"{sign}{text}\n\\ No newline at end of file\n"
