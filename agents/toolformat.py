"""How models write tool calls as text: one small class per dialect, found by name.

Invariant: `parse(render(action)) == action` for every action that `render` accepts; whatever else a model writes,
`parse` answers with an `Action` or with one sentence for the model to read, and never raises.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol

from envs.tools import Action, ActionError

OPEN, CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True)
class ParseProblem:
    """The text is not a tool call; `message` says why, in the words of the dialect."""

    message: str


class ToolFormat(Protocol):
    """One dialect."""

    @property
    def name(self) -> str:
        """`hermes`, `xml`: what a configuration says."""

    def parse(self, text: str) -> Action | ParseProblem:
        """The one call in a turn's text. Thinking before it and any words around it are passed over."""

    def render(self, action: Action) -> str:
        """The text of a call, as `parse` reads it. Raises `ValueError` if the dialect cannot express it."""


class HermesFormat:
    """JSON between tags: Hermes, Qwen2.5, Qwen3."""

    name = "hermes"

    def parse(self, text: str) -> Action | ParseProblem:
        """See `ToolFormat.parse`."""
        body = _only_call(text, OPEN)
        if isinstance(body, ParseProblem):
            return body
        try:
            _, end = json.JSONDecoder().raw_decode(body.lstrip())
            # `from_json` checks the shape and turns values that are not text into text.
            action = Action.from_json(body.lstrip()[:end])
            action.to_json().encode()  # half a surrogate pair is not text
        except ActionError as error:
            return ParseProblem(str(error))
        except (ValueError, RecursionError):
            return ParseProblem('between <tool_call> and </tool_call> stands {"name": ..., "arguments": {...}}')
        if not body.lstrip()[end:].lstrip().startswith(CLOSE):
            return ParseProblem("the tool call is not closed by </tool_call>")
        return action

    def render(self, action: Action) -> str:
        """See `ToolFormat.render`."""
        return _checked(self, action, f"{OPEN}\n{action.to_json()}\n{CLOSE}")


class XmlFormat:
    """Tags for each parameter: Qwen3-Coder. Values are text, stripped of one newline at either end."""

    name = "xml"

    _parameter = re.compile(r"\s*<parameter=([^>\n]+)>(.*?)</parameter>(?=\s*(?:<parameter=|</function>))", re.DOTALL)
    _end = re.compile(r"\s*</function>\s*</tool_call>")

    def parse(self, text: str) -> Action | ParseProblem:
        """See `ToolFormat.parse`."""
        body = _only_call(text, OPEN)
        if isinstance(body, ParseProblem):
            return body
        head = re.match(r"\s*<function=([^>\n]+)>", body)
        if head is None:
            return ParseProblem("<tool_call> is not followed by <function=NAME>")
        arguments: dict[str, str] = {}
        at = head.end()
        while found := self._parameter.match(body, at):
            if found[1] in arguments:
                return ParseProblem(f"the parameter {found[1]} is given twice")
            arguments[found[1]] = found[2].removeprefix("\n").removesuffix("\n")
            at = found.end()
        if not self._end.match(body, at):
            return ParseProblem("the tool call is not closed by </parameter>, </function> and </tool_call>")
        return Action(head[1], arguments)

    def render(self, action: Action) -> str:
        """See `ToolFormat.render`."""
        lines = [f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in action.arguments.items()]
        return _checked(self, action, f"{OPEN}\n<function={action.name}>\n{''.join(lines)}</function>\n{CLOSE}")


FORMATS: dict[str, ToolFormat] = {form.name: form for form in (HermesFormat(), XmlFormat())}
"""All dialects by name. Add your own to this dictionary."""


def detect(chat_template: str) -> str:
    """The name of the dialect that a chat template shows to the model; `hermes` where it shows none."""
    return "xml" if "<function=" in chat_template else "hermes"


def _only_call(text: str, opening: str) -> str | ParseProblem:
    """What follows the one opening tag after the thinking."""
    said = text.rpartition("</think>")[2]
    _, tag, body = said.partition(opening)
    if not tag:
        return ParseProblem(f"no tool call: write one, between {OPEN} and {CLOSE}")
    if re.search(rf"{CLOSE}\s*{opening}", body):
        return ParseProblem("one tool call at a time: write the next one after you have seen this one's result")
    return body


def _checked(form: ToolFormat, action: Action, text: str) -> str:
    """The text, if it reads back as the action."""
    if form.parse(text) != action:
        raise ValueError(f"the tool format {form.name} cannot express this call of {action.name}: {text!r}")
    return text
