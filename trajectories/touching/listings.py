"""What an observation shows of source files: runs of lines, with their numbers where a view writes them.

Invariant: every line of a listing is a line of the observation without its gutter; numbers in a listing grow by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_GUTTERS = (
    re.compile(r"\s*(?P<number>\d+)\t(?P<text>.*)"),  # cat -n, nl, OpenHands
    re.compile(r"\s*(?P<number>\d+)[:|](?P<text>.*)"),  # SWE-agent, grep -n
    re.compile(r"(?P<path>[\w./+-]+\.\w+)(?P<mark>[:-])(?P<number>\d+)(?P=mark)(?P<text>.*)"),  # grep -nH
    re.compile(r"(?P<number>\d+)-(?P<text>.*)"),  # grep -n -A
)


@dataclass(frozen=True)
class Listing:
    """Lines that follow one another. `start`: number of the first, None where the view writes none."""

    lines: tuple[str, ...]
    start: int | None = None
    path: str = ""
    """The file, where each line says it."""

    def find(self, wanted: Sequence[str]) -> int | None:
        """Where the wanted lines stand, if they do so exactly once."""
        width = len(wanted)
        first = wanted[0]
        places = [
            i
            for i, line in enumerate(self.lines[: len(self.lines) - width + 1])
            if line == first and list(self.lines[i : i + width]) == list(wanted)
        ]
        return places[0] if len(places) == 1 else None


def listings(text: str) -> Iterator[Listing]:
    """The numbered runs of an observation, and its lines as they stand (they may be a view without numbers)."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    yield from _numbered(lines)
    start = 0
    for i, line in enumerate([*lines, "--"]):
        if line == "--":  # grep sets groups apart so
            if i > start:
                yield Listing(tuple(lines[start:i]))
            start = i + 1


def _numbered(lines: Sequence[str]) -> Iterator[Listing]:
    run: list[str] = []
    start, path = 0, ""
    for line in lines:
        number, found_path, text = _gutter(line)
        if run and number == start + len(run) and found_path == path:
            run.append(text)
            continue
        if run:
            yield Listing(tuple(run), start, path)
        run, start, path = ([text], number, found_path) if number is not None else ([], 0, "")
    if run:
        yield Listing(tuple(run), start, path)


def _gutter(line: str) -> tuple[int | None, str, str]:
    """Number, path and text of a line of a view; no number where it has no gutter."""
    if not line[:200].strip():
        return None, "", line
    for pattern in _GUTTERS:
        if found := pattern.fullmatch(line):
            parts = found.groupdict()
            if len(parts["number"]) < 8:
                return int(parts["number"]), parts.get("path") or "", parts["text"]
    return None, "", line
