"""What a policy wrote in a turn, in its parts: thought, words, the call; and what an edit does, as a diff.

Invariant: the parts follow each other in the text, and nothing of it is left out.
"""

from __future__ import annotations

import re
from difflib import unified_diff
from typing import NamedTuple

from trajectories.records import ToolCall

_CALL = re.compile(
    r"<tool_call>|<function=|<\|tool_call|```(?:bash|sh|mswea_bash_command|json)?\n|^\{\"name\":", re.MULTILINE
)
_THOUGHT = re.compile(r"\s*<think>\n?(?P<thought>.*?)(?:\n?</think>\s*|\Z)", re.DOTALL)
_SIDES = (("old", "new"), ("old_str", "new_str"), ("old_string", "new_string"), ("search", "replace"))
_MOST = 60_000
"""Characters of an edit beyond which its sides are shown one after the other."""
_SHORT = 400
"""Characters of an argument that are looked at for a line."""


class Said(NamedTuple):
    """The parts of a turn's text."""

    thought: str
    """What stands between <think> tags."""
    words: str
    """What stands before the call."""
    call: str
    """The call as it was written, to the end."""


def said(text: str, call: ToolCall) -> Said:
    """The parts. Without a call that could be read, all is words."""
    thought, rest = "", text
    if found := _THOUGHT.match(text):
        thought, rest = found["thought"], text[found.end() :]
    begins = [m.start() for m in _CALL.finditer(rest)]
    if not begins or not (call.name or call.error):
        return Said(thought, rest.strip("\n"), "")
    # The last code block is the call; a tag that opens a call does it wherever it stands.
    at = next((b for b in begins if rest[b] == "<"), begins[-1] if len(begins) < 2 else _last_block(rest, begins))
    return Said(thought, rest[:at].strip("\n"), rest[at:])


def _last_block(text: str, begins: list[int]) -> int:
    """Where the last code block opens: every second fence closes one."""
    fences = [m.start() for m in re.finditer(r"^```", text, re.MULTILINE)]
    opening = [at for i, at in enumerate(fences) if i % 2 == 0]
    return opening[-1] if opening else begins[-1]


def edit_diff(call: ToolCall) -> tuple[str, frozenset[str]]:
    """What an edit puts in the place of what, as a diff, and the arguments that it tells; empty for other calls."""
    given = call.arguments
    for old, new in _SIDES:
        if old in given and new in given and len(given[old]) + len(given[new]) <= _MOST:
            path = next((given[name] for name in ("path", "file", "file_path", "filename") if name in given), "")
            lines = unified_diff(given[old].splitlines(), given[new].splitlines(), n=1_000, lineterm="")
            shown = "\n".join(line for line in list(lines)[3:]) or "(the same text)"
            head = f"--- {path}\n+++ {path}\n" if path else ""
            return head + shown, frozenset((old, new))
    return "", frozenset()


def action(call: ToolCall) -> str:
    """A call in one line: what two are compared by."""
    return " ".join([call.name or "(no call)", *(f"{k}={v}" for k, v in call.arguments.items())])


def short(call: ToolCall) -> str:
    """The one argument that says most."""
    given = call.arguments
    for name in ("command", "path", "file_path", "query", "pattern", "test", "tests"):
        if given.get(name, "").strip():
            return " ".join(given[name][:_SHORT].split())
    return " ".join(" ".join(value[:_SHORT] for value in given.values()).split())
