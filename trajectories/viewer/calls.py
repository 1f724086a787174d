"""What a call does, told shortly, and what an edit does, as a diff."""

from __future__ import annotations

from difflib import unified_diff

from trajectories.records import ToolCall, Turn

_SIDES = (("old", "new"), ("old_str", "new_str"), ("old_string", "new_string"), ("search", "replace"))
_PATHS = ("path", "file", "file_path", "filename")
_MOST = 60_000
"""Characters of an edit beyond which its sides are shown one after the other."""
_SHORT = 400
"""Characters of an argument that are looked at for a line."""


def edit_diff(call: ToolCall) -> tuple[str, frozenset[str]]:
    """What an edit puts in the place of what, each line with its sign, and the arguments that it tells; else empty."""
    given = call.arguments
    for old, new in _SIDES:
        if old in given and new in given and len(given[old]) + len(given[new]) <= _MOST:
            lines = unified_diff(given[old].splitlines(), given[new].splitlines(), n=1_000, lineterm="")
            return "\n".join(list(lines)[3:]) or "(the same text)", frozenset((old, new))
    return "", frozenset()


def action(turn: Turn) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What two turns are compared by: tool and arguments, or all that was written where no call could be read."""
    call = turn.tool_call
    if not call.name or call.error:
        return "", (("text", turn.text),)
    return call.name, tuple(sorted(call.arguments.items()))


def short(call: ToolCall) -> str:
    """What says most: one argument; of an editor that is told what to do where, both."""
    given = call.arguments
    for path in _PATHS:
        if given.get(path, "").strip() and given.get("command", "").isidentifier():
            return f"{given['command']} {' '.join(given[path][:_SHORT].split())}"
    for name in ("command", "path", "file_path", "query", "pattern", "test", "tests"):
        if given.get(name, "").strip():
            return " ".join(given[name][:_SHORT].split())
    return " ".join(" ".join(value[:_SHORT] for value in given.values()).split())
