"""Parts of a patch's lines that the policy quotes in its own words.

Invariant: what a part must be to tell is said here once, for masking and for judging: at least `LEAST` tokens in a row,
whose names have at least `CHARACTERS` characters together. Python's own names do not count: `is not None` stands
everywhere.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Callable, Iterable, Iterator

from trajectories.mining.lines import Line, mask_code, squeeze

LEAST = 4
CHARACTERS = 8
COMMON = frozenset(dir(builtins)) | frozenset(keyword.kwlist) | {"self", "args", "kwargs"}
"""Names that say nothing of a patch."""

_TOKEN = re.compile(r"\w+|[^\w\s]")


def weight(token: str) -> int:
    """How much a token tells: the length of a name that is not Python's, half a name for a number that is no digit."""
    if token.isidentifier():
        return 0 if token in COMMON else len(token)
    return 4 if token.isdecimal() and len(token) > 1 else 0


def scrub_quotes(
    text: str, hidden: Iterable[Line], shown: Callable[[str], bool], least: int = LEAST, characters: int = CHARACTERS
) -> str:
    """The text with `MASK` for each telling part of the hidden lines, unless it had been `shown` (squeezed)."""
    for line in hidden:
        for part in list(_parts(line.text, text, least, characters)):
            if not shown(squeeze(part)):
                text, _ = mask_code(text, part)
    return text


def _parts(line: str, text: str, least: int, characters: int) -> Iterator[str]:
    """The longest telling runs of a line's tokens that a text has, none within another."""
    tokens = _TOKEN.findall(line)
    if not any(weight(token) >= 4 and token in text for token in tokens):
        return
    told = squeeze(text)
    start = 0
    while start <= len(tokens) - least:
        end = start + least
        if squeeze("".join(tokens[start:end])) not in told:
            start += 1
            continue
        while end < len(tokens) and squeeze("".join(tokens[start : end + 1])) in told:
            end += 1
        if sum(map(weight, tokens[start:end])) >= characters:
            yield " ".join(tokens[start:end])
        start = end
