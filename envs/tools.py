"""What an agent can say in an episode: view, search, edit, run_tests, submit.

Invariant: what `TOOLS` promises to a chat template is what `check_action` accepts; `envs.toolbox` carries it out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

NO_ACTION = ""
"""What the environment is told when a turn's text is no tool call: it answers with an error and counts the turn."""
MAX_CHARS = 4000
"""Longest argument other than the text of an edit: paths and patterns become part of a command line."""


class ActionError(ValueError):
    """What the policy asked for cannot be done; the message is one line, for the policy to read."""


@dataclass(frozen=True)
class Action:
    """One call of a tool. All arguments are text, as models write them."""

    name: str
    arguments: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> Action:
        """Read `{"name": ..., "arguments": {...}}`. Raises `ActionError`."""
        try:
            call = json.loads(text)
        except (ValueError, RecursionError):
            raise ActionError("the action is not JSON") from None
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise ActionError("the action has no name")
        arguments = call.get("arguments", {})
        if not isinstance(arguments, dict):
            raise ActionError("arguments is not an object")
        return cls(call["name"], {key: _text(value) for key, value in arguments.items() if value is not None})

    def to_json(self) -> str:
        """The text that `from_json` reads."""
        return json.dumps({"name": self.name, "arguments": self.arguments}, ensure_ascii=False)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _tool(name: str, description: str, required: Sequence[str] = (), **parameters: tuple[str, str]) -> dict[str, Any]:
    properties = {key: {"type": kind, "description": text} for key, (kind, text) in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS: list[dict[str, Any]] = [
    _tool(
        "view",
        "Show a file, or the entries of a folder.",
        ["path"],
        path=("string", "Path in the repository."),
        start=("integer", "First line to show, from 1."),
        end=("integer", "Last line to show."),
    ),
    _tool(
        "search",
        "Find a text, or else a regular expression, in the files of the repository.",
        ["pattern"],
        pattern=("string", "What to look for."),
        path=("string", "File or folder to look in; the whole repository by default."),
    ),
    _tool(
        "edit",
        "Change a file: replace the text old, which must occur exactly once, by new. Without old, new is one "
        "complete function or class that takes the place of the one of that name, or the contents of a new file.",
        ["path", "new"],
        path=("string", "Path in the repository."),
        new=("string", "The new text."),
        old=("string", "The text to replace."),
    ),
    _tool(
        "run_tests",
        "Run the tests and show which fail.",
        tests=("string", "Test files or test ids, separated by spaces; the tests of the task by default."),
    ),
    _tool("submit", "Hand in the repository as it is now. Ends the episode."),
]
"""The tools in the function format that chat templates take."""

_PARAMETERS: dict[str, dict[str, Any]] = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}


def check_action(action: Action) -> Action:
    """The action, if its tool exists and its arguments fit. Raises `ActionError`."""
    if action.name not in _PARAMETERS:
        raise ActionError(f"unknown tool {quote(action.name)}; the tools are {', '.join(_PARAMETERS)}")
    schema = _PARAMETERS[action.name]
    for key in schema["required"]:
        if key not in action.arguments:
            raise ActionError(f"{action.name} needs the argument {key}")
    for key, value in action.arguments.items():
        if key not in schema["properties"]:
            raise ActionError(f"{action.name} has no argument {quote(key)}")
        if len(value) > MAX_CHARS and key not in ("new", "old"):
            raise ActionError(f"{key} is longer than {MAX_CHARS} characters")
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise ActionError(f"{key} is not valid Unicode")
    return action


def quote(text: str) -> str:
    """At most 60 characters of what the policy wrote, fit for a message of one line."""
    return json.dumps(text[:60].encode(errors="replace").decode(), ensure_ascii=False)
