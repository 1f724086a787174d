"""The actions of agents that write a shell command: SWE-agent's, with its own commands, and mini-swe-agent's.

Invariant: a command of SWE-agent's own becomes a call of that name, with the arguments that its function has; every
other action is a call of `bash`.
"""

from __future__ import annotations

import re
import shlex

from trajectories.formats.calls import Call

_COMMANDS = {
    "open": ("path", "line_number"),
    "goto": ("line_number",),
    "scroll_up": (),
    "scroll_down": (),
    "create": ("filename",),
    "search_dir": ("search_term", "dir"),
    "search_file": ("search_term", "file"),
    "find_file": ("file_name", "dir"),
    "submit": (),
    "exit_forfeit": (),
    "exit_cost": (),
}
"""SWE-agent's commands with the names of their arguments, as its function-calling tools have them."""
_EDIT = re.compile(r"edit (?P<start_line>\d+):(?P<end_line>\d+)\n(?P<replacement_text>.*?)\n?end_of_edit\s*", re.DOTALL)
_FENCE = re.compile(r"^```[^\n`]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_TAG = re.compile(r"<command>\n?(.*?)\n?</command>", re.DOTALL)


def call(action: str) -> Call:
    """The call that an action is."""
    text = action.strip()
    if edit := _EDIT.fullmatch(text):
        return Call("edit", dict(edit.groupdict()))
    name, _, rest = text.partition(" ")
    if name in _COMMANDS and "\n" not in text:
        try:
            words = shlex.split(rest)
        except ValueError:
            words = rest.split()
        if len(words) <= len(_COMMANDS[name]):
            return Call(name, dict(zip(_COMMANDS[name], words, strict=False)))
    return Call("bash", {"command": action.removesuffix("\n")})


def action(text: str) -> str | None:
    """The action that a message holds: in its last fenced block, or between <command> tags."""
    found = _FENCE.findall(text) or _TAG.findall(text)
    return found[-1] if found else None


def fenced_call(text: str) -> Call | None:
    """The call that a message of SWE-agent's holds."""
    found = action(text)
    return None if found is None else call(found)


def line(made: Call) -> str:
    """A call as an action."""
    values = [value if isinstance(value, str) else str(value) for value in made.arguments.values()]
    if made.name == "bash" and "command" in made.arguments:
        return str(made.arguments["command"])
    return shlex.join([made.name, *values])
