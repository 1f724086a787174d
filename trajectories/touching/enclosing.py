"""The definitions around a line of a Python file of which only some lines are known.

Invariant: only what is known counts. Walking up goes as far as lines follow one another; above that, the heading of a
hunk is used: git writes there the nearest line above the hunk that begins a definition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trajectories.touching.listings import Listing
from trajectories.touching.outline import outline

_HEADER = re.compile(r"(?P<indent>\s*)(?P<kind>(?:async\s+)?def|class)\s+(?P<name>\w+)(?P<rest>.*)")
_OPENS = re.compile(r":\s*(?:#.*)?$")
_TEXT = re.compile(r"[=(,\[{:]\s*\w{0,2}(?:\"{3}|'{3})(?!.*(?:\"{3}|'{3}))")
_METHOD = re.compile(r"\(\s*(?:self|cls)\b")


class Header(NamedTuple):
    """The line that begins a definition. `number` is None where only its text is known."""

    number: int | None
    margin: int
    kind: str
    name: str


@dataclass
class Partial:
    """One side of a file, as far as it is known."""

    lines: Mapping[int, str]
    headings: Mapping[int, str]
    """First line of a hunk -> its heading."""
    listings: Sequence[Listing] = ()
    """Where a heading's indentation and class may be found."""


def around(side: Partial, number: int) -> list[Header]:
    """The definitions around a line, outermost first; what begins at the line is among them."""
    found: list[Header] = []
    at = _decorated(side.lines, number)
    if own := _header(side.lines[at], at):
        found.append(own)
    margin, n = _margin(side.lines[at]) + _closes(side.lines[at]), at
    while margin > 0:
        n -= 1
        above = side.lines.get(n)
        if above is None:
            return _by_heading(side, number, n + 1, margin) + found
        if not above.strip() or _margin(above) >= margin:
            continue
        if outer := _header(above, n):
            margin = outer.margin
            found.insert(0, outer)
        elif not _closes(above) and (_OPENS.search(above) or _continues(above)):  # else inside a bracket, a text
            margin = _margin(above)
    return found


def qualified(headers: Sequence[Header]) -> str:
    """The name: classes, and the first function; what stands inside a function belongs to it."""
    inside = next((i for i, header in enumerate(headers) if header.kind != "class"), len(headers))
    return ".".join(header.name for header in headers[: inside + 1])


def own_text(lines: Mapping[int, str], name: str, starts: Iterable[int]) -> str:
    """The own text of the definitions called `name` whose headers are these lines; empty if one is not known whole."""
    texts = [_whole(lines, start, name.rpartition(".")[2]) for start in sorted(starts)]
    return "" if None in texts else "".join(text or "" for text in texts)


def _whole(lines: Mapping[int, str], start: int, name: str) -> str | None:
    margin = _margin(lines[start])
    first = start
    while lines.get(first - 1, "").startswith(" " * margin + "@"):
        first -= 1
    n = start + 1
    while n in lines:
        line = lines[n]
        if line.strip() and _margin(line) <= margin and line.lstrip()[0] not in "#)]}":
            body = "".join(f"{lines[i]}\n" for i in range(first, n))
            texts = outline(f"if 1:\n{body}" if margin else body)
            if texts is not None and name in texts:  # else the line is inside a text that is not indented
                return texts[name]
        n += 1
    return None


def _by_heading(side: Partial, number: int, top: int, margin: int) -> list[Header]:
    """What is around, above the first line `top` of those that are known, by the heading of the hunk with `number`."""
    start = max((first for first in side.headings if first <= number), default=0)
    heading = side.headings.get(start, "")
    own = _header(heading, None)
    if own is None or top > start or any(_is(side.lines[i], heading) for i in range(top, start)):
        return []
    above = [n for n, line in side.lines.items() if n < top and _is(line, heading)]
    if above:
        return [outer for outer in around(side, max(above)) if outer.margin < margin]
    for listing in side.listings:
        for i, line in enumerate(listing.lines):
            if _is(line, heading) and (listing.start is None or listing.start + i < start):
                outers = around(Partial(dict(enumerate(listing.lines)), {}), i)
                return [outer._replace(number=None) for outer in outers if outer.margin < margin]
    if own.kind == "def" and _METHOD.search(heading) and margin <= 4:
        return []  # a method's heading over the body of its class
    return [own]


def _is(line: str, heading: str) -> bool:
    return line.lstrip().startswith(heading)


def _header(line: str, number: int | None) -> Header | None:
    found = _HEADER.match(line)
    return Header(number, _margin(line), found["kind"].split()[-1], found["name"]) if found else None


def _decorated(lines: Mapping[int, str], number: int) -> int:
    """The header that a decorator stands over; any other line, and a decorator whose header is not known, itself."""
    margin, n = _margin(lines[number]), number
    while lines[number].lstrip().startswith("@") and n in lines:
        if _header(lines[n], n) and _margin(lines[n]) == margin:
            return n
        n += 1
    return number


def _closes(line: str) -> bool:
    """Whether a line begins with the end of a bracket: it belongs to what began at its margin."""
    return line.lstrip()[:1] in tuple(")]}")


def _continues(line: str) -> bool:
    """Whether a line opens a bracket or a text that goes on below it, so that what is indented there is its own."""
    code = line.split("#", maxsplit=1)[0].rstrip()
    return code.endswith(("(", "[", "{", ",", "\\")) or _TEXT.search(code) is not None


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())
