"""Long texts, of which a page holds the ends and fetches the rest piece by piece.

Invariant: a page's first sight of a text is bounded, and so is every piece; together the pieces are the whole text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from markupsafe import Markup, escape

from trajectories.touching.marking import marked
from trajectories.viewer import ansi
from trajectories.viewer.texts import lines_of, piece, visible

FIRST_LINES, FIRST_CHARACTERS = 40, 6_000
"""What a page shows of a text at first."""
PIECE = 64_000
"""Characters of a piece that is fetched."""


class Limits(NamedTuple):
    """What is shown of a text at most."""

    lines: int = FIRST_LINES
    characters: int = FIRST_CHARACTERS


class Shown(NamedTuple):
    """A text as far as it is shown."""

    head: Markup
    tail: Markup
    start: int
    """Where what is left out begins, and where it ends."""
    end: int
    lines: int

    @property
    def left_out(self) -> int:
        """Characters."""
        return self.end - self.start


def shown(text: str, form: str, limits: Limits) -> Shown:
    """The ends of a text. `form`: `ansi`, `diff`, `edit` (each line with its sign), or `plain`."""
    cut = piece(text, lines=limits.lines, characters=limits.characters)
    if cut is None:
        return Shown(formed(text, form, 0, len(text)), Markup(), 0, 0, 0)
    head, tail = formed(text, form, 0, cut.head), formed(text, form, cut.tail, len(text))
    return Shown(head, tail, cut.head, cut.tail, cut.lines)


def next_piece(text: str, start: int, end: int) -> int:
    """Where a piece that begins at `start` ends: at a line's end, where there is one."""
    stop = min(start + PIECE, end)
    if stop < end and (line := text.rfind("\n", start, stop) + 1) > start:
        return line
    return stop


def formed(text: str, form: str, start: int, end: int) -> Markup:
    """A part of a text as HTML."""
    if form == "ansi":
        return ansi.rendered(text, start, end)
    if form == "diff":
        return Markup().join(_diff_lines(marked(text, start, end)))
    if form == "edit":
        return Markup().join(_diff_lines(_edit_lines(text[start:end])))
    return escape(visible(lines_of(text[start:end])))


def _diff_lines(lines: Iterable[tuple[str, str]]) -> Iterator[Markup]:
    for kind, line in lines:
        yield Markup('<span class="{}">{}\n</span>').format(
            kind, visible(ansi.plain(lines_of(line.removesuffix("\r"))))
        )


def _edit_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.removesuffix("\n").split("\n"):
        yield {"+": "add", "-": "del"}.get(line[:1], "same"), line
