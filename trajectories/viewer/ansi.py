"""What a terminal would have shown, as HTML: colours and weights kept, every other escape sequence dropped.

Invariant: the result's only mark-up is `<span class="...">` with classes of this module; the text is escaped and
visible (`trajectories.viewer.texts`). Colours are the 256 of xterm; a true colour is the nearest of its cube or greys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from trajectories.viewer.texts import lines_of, visible

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)(?P<given>[\d;:]*)m"  # colours
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # all else that moves, clears, asks
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)"  # titles, links
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"  # the short ones
)
_MOST_NUMBERS = 64
"""Numbers of one sequence: a longer one is nobody's colour."""
_NEAR = 16_000
"""Characters before a part that are looked at for its colours."""
_LEVELS = (0, 95, 135, 175, 215, 255)
_FLAGS = {1: "bold", 2: "faint", 3: "italic", 4: "under", 7: "reverse", 9: "struck"}
_OFF = {22: ("bold", "faint"), 23: ("italic",), 24: ("under",), 27: ("reverse",), 29: ("struck",)}


@dataclass(frozen=True)
class Style:
    """How the text from here on looks."""

    fore: int | None = None
    """Number of its colour, 0 to 255."""
    back: int | None = None
    flags: frozenset[str] = frozenset()

    @property
    def classes(self) -> str:
        """The classes of a span; empty for plain text."""
        named = [f"a-{flag}" for flag in sorted(self.flags)]
        colours = [f"{kind}{n}" for kind, n in (("f", self.fore), ("b", self.back)) if n is not None]
        return " ".join(colours + named)


def rendered(text: str, start: int = 0, end: int | None = None) -> Markup:
    """A part of the text as HTML, coloured by what stands before it, as far as that is near."""
    style, at, parts = Style(), start, list[str]()
    end = len(text) if end is None else end
    for found in _ESCAPE.finditer(text, max(0, start - _NEAR), end):
        if found.start() > at:
            parts.append(_span(text[at : found.start()], style))
        at = max(at, found.end())
        if found["given"] is not None:
            style = changed(style, found["given"])
    if at < end:
        parts.append(_span(text[at:end], style))
    return Markup("".join(parts))


def plain(text: str) -> str:
    """The text without escape sequences."""
    return _ESCAPE.sub("", text) if "\x1b" in text or "\x9b" in text else text


def _span(text: str, style: Style) -> str:
    shown = escape(visible(lines_of(text)))
    return f'<span class="{classes}">{shown}</span>' if (classes := style.classes) else str(shown)


def changed(style: Style, given: str) -> Style:
    """The style after the numbers of one sequence, by the ECMA-48 of terminals; as it was after far too many."""
    split = re.split("[;:]", given, maxsplit=_MOST_NUMBERS)
    if len(split) > _MOST_NUMBERS:
        return style
    numbers = [int(n[:9]) if n else 0 for n in split]
    while numbers:
        first = numbers.pop(0)
        if first == 0:
            style = Style()
        elif first in _FLAGS:
            style = replace(style, flags=style.flags | {_FLAGS[first]})
        elif first in _OFF:
            style = replace(style, flags=style.flags - set(_OFF[first]))
        elif first in (38, 48):
            colour = _colour(numbers)
            style = replace(style, fore=colour) if first == 38 else replace(style, back=colour)
        elif first == 39:
            style = replace(style, fore=None)
        elif first == 49:
            style = replace(style, back=None)
        elif first // 10 in (3, 4, 9, 10) and first % 10 < 8:
            bright = 8 if first >= 90 else 0
            named = first % 10 + bright
            style = replace(style, fore=named) if first // 10 in (3, 9) else replace(style, back=named)
    return style


def _colour(numbers: list[int]) -> int | None:
    """The colour that the next numbers tell, which are taken."""
    kind = numbers.pop(0) if numbers else 0
    if kind == 5 and numbers:
        return min(numbers.pop(0), 255)
    if kind == 2 and len(numbers) >= 3:
        return _nearest(*(min(numbers.pop(0), 255) for _ in range(3)))
    numbers.clear()  # cut off: what is left means no colour, and nothing else either
    return None


def _nearest(red: int, green: int, blue: int) -> int:
    wanted = (red, green, blue)
    cube = [min(range(6), key=lambda i: abs(_LEVELS[i] - part)) for part in wanted]
    grey = min(range(24), key=lambda i: sum(abs(8 + 10 * i - part) for part in wanted))

    def off(colour: tuple[int, ...]) -> int:
        return sum((a - b) ** 2 for a, b in zip(colour, wanted, strict=True))

    if off((8 + 10 * grey,) * 3) < off(tuple(_LEVELS[i] for i in cube)):
        return 232 + grey
    return 16 + 36 * cube[0] + 6 * cube[1] + cube[2]


def stylesheet() -> str:
    """The classes. The first 16 colours are the page's own, so that they can be read in light and dark."""
    rules = [f".f{i}{{color:var(--a{i})}}.b{i}{{background:var(--a{i})}}" for i in range(16)]
    for i in range(16, 256):
        parts = [_LEVELS[(i - 16) // step % 6] for step in (36, 6, 1)] if i < 232 else [8 + 10 * (i - 232)] * 3
        colour = "#" + "".join(f"{part:02x}" for part in parts)
        rules.append(f".f{i}{{color:{colour}}}.b{i}{{background:{colour}}}")
    return "\n".join(rules) + "\n"
