"""What a call does, told shortly, and what an edit does, as a diff."""

from __future__ import annotations

from difflib import unified_diff

from trajectories.records import ToolCall

_SIDES = (("old", "new"), ("old_str", "new_str"), ("old_string", "new_string"), ("search", "replace"))
_MOST = 60_000
"""Characters of an edit beyond which its sides are shown one after the other."""
_SHORT = 400
"""Characters of an argument that are looked at for a line."""


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
