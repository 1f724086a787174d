"""How the editor writes its answers, and what its versions write differently.

Invariant: what `plain` takes away from an answer is never part of a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

ELIDED = re.compile(r"<NOTE>This file is too large to display entirely")
_NUMBERED = re.compile(r"^ *(\d+)[\t ](.*)$")
_CLIPPED = re.compile(r"<response clipped>.*", re.DOTALL)
EDITED = "has been edited"
REVIEW = "Review the changes and make sure they are as expected"
_LAST = re.compile(rf"(?:\n *\d+[\t ]*)+(?=\n{REVIEW}|\s*\Z)")
"""Empty lines at the end of what is shown; some versions always show one."""


class Refused(Exception):
    """What the editor answers to a mistake."""


def plain(answer: str) -> str:
    """An answer without what versions of the editor write differently, and as far as a long file was shown."""
    text = re.sub(r"\r+\n", "\n", answer).removeprefix("OBSERVATION:\n").removeprefix("ERROR:\n")
    text = re.sub(r"(?m)^( *\d+)[\t ]", r"\1\t", text).expandtabs()
    text = re.sub(
        r"^Invalid `view_range`:(.*?)\. It's (.*?)\.?\s*$", r"Invalid `view_range` parameter:\1. Its \2.", text
    )
    if clipped := _CLIPPED.search(text):
        text = text[: text.rfind("\n", 0, clipped.start()) + 1] + "<response clipped>"
    text = _LAST.sub("", text)
    text = re.sub(r"(number of lines in the file: `|lines of the file: \[\d+, )\d+", r"\1...", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def shown_alike(expected: str, got: str) -> str:
    """What of an answer there is to compare where the recorded one was clipped."""
    head, clipped, _ = expected.partition("<response clipped>")
    return head + clipped if clipped and got.startswith(head) else got


def numbered(text: str, what: str, first: int) -> str:
    """The text with the numbers of its lines, as the editor shows a file or a snippet."""
    lines = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(text.split("\n"), first))
    return f"Here's the result of running `cat -n` on {what}:\n{lines}\n"


def line_range(text: str | None, lines: list[str]) -> tuple[int, int]:
    """The first and last line that `view_range` asks for. Raises `Refused`."""
    if not text or text == "null":
        return 1, len(lines)
    try:
        first, last = (int(number) for number in json.loads(text))
    except (ValueError, TypeError):
        raise Refused("Invalid `view_range`. It should be a list of two integers.") from None
    count, wrong = len(lines), f"Invalid `view_range` parameter: [{first}, {last}]."
    if not 1 <= first <= count:
        within = f"should be within the range of lines of the file: [1, {count}]."
        raise Refused(f"{wrong} Its first element `{first}` {within}")
    if last > count:
        raise Refused(
            f"{wrong} Its second element `{last}` should be smaller than the number of lines in the file: `{count}`."
        )
    if last != -1 and last < first:
        raise Refused(
            f"{wrong} Its second element `{last}` should be greater than or equal to the first element `{first}`."
        )
    return first, count if last == -1 else last


def lines_shown(recorded: str) -> tuple[int, int] | None:
    """The first and last line that a recorded answer shows of an edited file: which ones is the version's choice."""
    if EDITED not in recorded:
        return None
    text = _LAST.sub("", re.sub(r"\r+\n", "\n", recorded))
    numbers = [int(found[1]) for line in text.split("\n") if (found := _NUMBERED.match(line))]
    return (numbers[0], numbers[-1]) if numbers else None


def abbreviated(recorded: str, lines: Sequence[str]) -> str:
    """The recorded abbreviation with every line that it shows as that reads now: what it leaves out was its choice."""

    def now(line: str) -> str:
        found = _NUMBERED.match(line)
        if not found or "eliding lines" in line:
            return line
        number = int(found[1])
        return f"{line[: found.start(2)]}{lines[number - 1] if 1 <= number <= len(lines) else ''}"

    return "\n".join(map(now, re.sub(r"\r+\n", "\n", recorded).split("\n")))
