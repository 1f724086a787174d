"""What a policy wrote in a turn, in its parts: thought, words, the call, and what it wrote after the call.

Invariant: the parts follow each other in the text, and nothing of it but white space between them is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from trajectories.records import ToolCall

_THOUGHT = re.compile(r"\s*<think>\n?(?P<thought>.*?)(?:\n?</think>\s*|\Z)", re.DOTALL)
_TAGGED = re.compile(r"(?:<tool_call>\s*)?<function=([^<>\s`]+)>.*?</function>(?:\s*</tool_call>)?", re.DOTALL)
_JSON = re.compile(r'<tool_call>\s*(?=\{)|^(?=\{"name":)', re.MULTILINE)
_CLOSE = re.compile(r"\s*</tool_call>")
_OPENS = re.compile(r"<tool_call>|<function=|<\|tool_call")
_FENCE = re.compile(r"^```.*\n?", re.MULTILINE)
_TAGS = re.compile(r"</?tool_call>|</?function(?:=[^<>\s]+)?>|</?parameter(?:=[^<>\n]+)?>|^```.*$", re.MULTILINE)


class Said(NamedTuple):
    """The parts of a turn's text."""

    thought: str
    """What stands between <think> tags."""
    words: str
    """What stands before the call."""
    call: str
    """The call as it was written."""
    rest: str
    """What stands after it."""


class _Block(NamedTuple):
    start: int
    end: int
    name: str


def said(text: str, call: ToolCall) -> Said:
    """The parts. Without a call that could be read, or was tried, all is words."""
    thought, rest = "", text
    if found := _THOUGHT.match(text):
        thought, rest = found["thought"], text[found.end() :]
    place = _place(rest, call) if call.name or call.error else None
    if place is None:
        return Said(thought, rest.strip("\n"), "", "")
    start, end, _ = place
    return Said(thought, rest[:start].strip("\n"), rest[start:end], rest[end:].strip())


def _place(text: str, call: ToolCall) -> _Block | None:
    """Where the call stands: the last that names its tool, else the last, else what opens one and never ends."""
    if blocks := [*_tagged(text), *_in_json(text)]:
        return next((b for b in reversed(blocks) if b.name == call.name), blocks[-1])
    if found := _OPENS.search(text):
        return _Block(found.start(), len(text), "")
    return next((b for b in reversed(list(_fenced(text))) if call.error or _tells(text[b.start : b.end], call)), None)


def _tagged(text: str) -> Iterator[_Block]:
    return (_Block(found.start(), found.end(), found[1]) for found in _TAGGED.finditer(text))


def _in_json(text: str) -> Iterator[_Block]:
    end = -1
    for found in _JSON.finditer(text):
        if found.start() < end:
            continue  # inside the one before
        try:
            written, end = json.JSONDecoder().raw_decode(text, found.end())
        except (ValueError, RecursionError):
            continue
        end = closed.end() if (closed := _CLOSE.match(text, end)) else end
        name = written.get("name") if isinstance(written, dict) else ""
        yield _Block(found.start(), end, str(name))


def _fenced(text: str) -> Iterator[_Block]:
    """Code blocks: every second fence closes one."""
    fences = list(_FENCE.finditer(text))
    for i in range(0, len(fences), 2):
        end = fences[i + 1].end() if i + 1 < len(fences) else len(text)
        yield _Block(fences[i].start(), end, "")


def _tells(block: str, call: ToolCall) -> bool:
    """Whether a code block is the call, which may also stand beside the text."""
    values = [value.strip() for value in call.arguments.values() if value.strip()]
    return any(value in block for value in values or [call.name])


def plainly(written: str, call: ToolCall) -> bool:
    """Whether a call as it was written says no more than its tool and arguments do."""
    left = written
    for value in sorted(call.arguments.values(), key=len, reverse=True):
        left = left.replace(value, " ", 1) if value.strip() else left
    if not _TAGS.sub(" ", left).strip():
        return True
    try:
        meant = json.loads(_TAGS.sub(" ", written))
    except (ValueError, RecursionError):
        return False
    return bool(meant == {"name": call.name, "arguments": dict(call.arguments)})
