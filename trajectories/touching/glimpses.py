"""What is known of a file at the base commit without having it: the patch's own lines, and what the episode showed.

Invariant: a line is known under its number at the base commit. The old side of a hunk is certain; a view counts only
where it agrees with what is certain, and is cut where it begins to differ, since it may show the file after an edit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product

from trajectories.touching.diffs import FileDiff, Hunk
from trajectories.touching.listings import Listing

_PATH = re.compile(r"[\w./+-]*\w\.py\b")
_FRAME = re.compile(r"```|</?\w+>\s*$")
"""What stands around code in a text without numbers."""
_TELLING = 8
"""Shortest line, without white space, that tells something."""


def known_lines(item: FileDiff, seen: Sequence[tuple[str, Sequence[Listing]]]) -> dict[int, str]:
    """Number at the base commit -> line, without its newline.

    `seen`: what was shown, in order, each as its whole text and its listings.
    """
    certain = {n: line for hunk in item.hunks for n, line in enumerate(old_side(hunk), hunk.start)}
    known = dict(certain)
    edited = False
    added = {line.strip() for hunk in item.hunks for line in new_lines(hunk)}
    added -= {line.strip() for line in certain.values()}
    for text, shown in seen:
        edited = edited or _shows(text, added)
        named = _names_only(text, item)
        for listing in shown:
            if listing.path and not _same_file(listing.path, item):
                continue
            for placed in _place(listing, item.hunks, certain, trusted=not edited and (named or bool(listing.path))):
                if all(known.get(n, line) == line for n, line in placed.items()):
                    known |= placed
    return known


def old_side(hunk: Hunk) -> list[str]:
    """The lines of a hunk's old side, without what ends them."""
    return [line.rstrip("\r\n") for line in hunk.side(" -")]


def new_lines(hunk: Hunk) -> list[str]:
    """The lines that a hunk adds, without what ends them."""
    return [line.rstrip("\r\n") for line in hunk.side("+")]


def _place(listing: Listing, hunks: Iterable[Hunk], certain: dict[int, str], *, trusted: bool) -> list[dict[int, str]]:
    """The listing's lines under their numbers at the base commit, for each way of placing it that holds."""
    if listing.start is not None:
        placed = dict(enumerate(listing.lines, listing.start))
        shared = [n for n in placed if n in certain]
        if all(placed[n] == certain[n] for n in shared) and (trusted or sum(_tells(placed[n]) for n in shared) > 1):
            return [placed]
    results = []
    for hunk in hunks:
        found = _find(listing, old_side(hunk))
        if found is not None:
            results.append(_grown(listing, *found, hunk.start, certain))
    return results


def _find(listing: Listing, old: list[str]) -> tuple[int, int, int] | None:
    """Where the most of a hunk's old side stands: index in the listing, index in the hunk, number of lines."""
    for head, tail in sorted(product(range(4), repeat=2), key=sum):
        part = old[head : len(old) - tail]
        if sum(map(_tells, part)) < 2:
            continue
        at = listing.find(part)
        if at is not None:
            return at, head, len(part)
    return None


def _grown(listing: Listing, at: int, head: int, count: int, start: int, certain: dict[int, str]) -> dict[int, str]:
    """The found lines and all around them, up to where they differ from what is certain."""
    offset = start + head - at
    placed = {}
    for indices in (range(at, len(listing.lines)), range(at - 1, -1, -1)):
        for i in indices:
            n, line = i + offset, listing.lines[i]
            if n < 1 or certain.get(n, line) != line or _FRAME.match(line):
                break
            placed[n] = line
    return placed


def _tells(line: str) -> bool:
    return len("".join(line.split())) >= 3


def _shows(text: str, added: set[str]) -> bool:
    """Whether a text holds a line that only the patch has."""
    return any(len("".join(line.split())) >= _TELLING and line in text for line in added)


def _names_only(text: str, item: FileDiff) -> bool:
    """Whether a text names this Python file, and no other."""
    named = set(_PATH.findall(text))
    return bool(named) and all(_same_file(path, item) for path in named)


def _same_file(path: str, item: FileDiff) -> bool:
    short = path.removeprefix("./")
    return any(own == short or short.endswith(f"/{own}") or own.endswith(f"/{short}") for own in item.paths)
