"""Text as a terminal or a page can show it: without control characters, and no more of it than a person reads.

Invariant: what is left out is from the middle, and how much it is stands in its place.
"""

from __future__ import annotations

import re

LINES = 2_000
"""Lines of a part: an issue, what the policy wrote in a turn, a patch. Observations get fewer."""
_LINE, _PART = 2_000, 50_000
"""Characters of a line, and of a part."""
_SHORT = 100
"""Characters of a name."""
_HIDDEN = re.compile(r"[^\n\t -~]")


def shortened(text: str, most_lines: int = LINES) -> str:
    """At most so many lines, none of them too long, nor all together."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    left_out = len(lines) - most_lines
    if left_out > 0:
        head, tail = most_lines - most_lines // 2, most_lines // 2
        lines = [*lines[:head], f"... {left_out:,} lines ...", *lines[len(lines) - tail :]]
    return clean(_cut("\n".join(_cut(line, _LINE) for line in lines), _PART))


def brief(text: str) -> str:
    """A name, of which no more than its ends is shown where it is far too long."""
    return clean(_cut(text, _SHORT, " "))


def clean(text: str) -> str:
    """The text with every character that is not for showing replaced."""
    return _HIDDEN.sub(lambda found: found[0] if found[0].isprintable() else "�", text)


def _cut(text: str, most: int, around: str = "\n") -> str:
    left_out = len(text) - most
    if left_out <= 0:
        return text
    return f"{text[: most // 2]}{around}... {left_out:,} characters ...{around}{text[len(text) - most // 2 :]}"
