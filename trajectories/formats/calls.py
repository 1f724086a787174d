"""Tool calls of other formats, and the turns they become.

Invariant: there is a turn for each call. Its text reads as the model said it in its chat: reasoning between <think>
tags, words, the call; of a message with several calls the first turn has the words. The shell is called `bash`,
whatever the format calls it; all other tools keep their names. What that loses is in `Turn.extra`: `tool` (the name it
had), `arguments` (values that are not text), `call_id`, `continues` (of the same message as the turn before).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from trajectories.records import ToolCall, Turn

SHELLS = frozenset({"bash", "execute_bash", "terminal", "shell", "run", "execute_command", "run_command"})
_TEXT = re.compile(
    r"(?:<think>\n(?P<reasoning>.*?)\n</think>\n)?(?P<words>.*?)\n?(?:<tool_call>\n(?P<call>\{[^\n]*\})\n</tool_call>)?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Call:
    """One call as a format writes it. `error`: why it is none."""

    name: str
    arguments: dict[str, JsonValue] = field(default_factory=dict)
    id: str = ""
    error: str | None = None

    def spoken(self) -> str:
        """The call in Hermes' dialect."""
        body = json.dumps({"name": self.name, "arguments": self.arguments}, ensure_ascii=False)
        return f"<tool_call>\n{body}\n</tool_call>"


@dataclass(frozen=True)
class Result:
    """What came back."""

    text: str = ""
    exit_code: int | None = None
    seconds: float = 0.0


@dataclass
class Said:
    """One message of the model. `written`: the whole of it, where the call is part of its text."""

    words: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    written: str | None = None


def turns_of(said: Said, results: Sequence[Result] = (), **members: Any) -> list[Turn]:
    """The turns of a message and of what came back. `members`: further members of the first turn."""
    turns = []
    for i, call in enumerate(said.calls or [Call("")]):
        result = results[i] if i < len(results) else Result()
        text = said.written if said.written is not None and not i else _text(said if not i else Said(), call)
        name = "bash" if call.name in SHELLS else call.name
        odd: dict[str, JsonValue] = {key: value for key, value in call.arguments.items() if not isinstance(value, str)}
        other = call.name if name != call.name else ""
        extra: dict[str, JsonValue] = {"tool": other, "arguments": odd, "call_id": call.id, "continues": i > 0}
        turns.append(
            Turn(
                text=text,
                tool_call=ToolCall(name=name, arguments=_texts(call.arguments), error=call.error),
                observation=result.text,
                exit_code=result.exit_code,
                seconds=result.seconds,
                extra={key: value for key, value in extra.items() if value},
                **(members if not i else {}),
            )
        )
    return turns


def call_of(turn: Turn) -> Call | None:
    """The call of a turn, as its format had it; None where the model made none."""
    call, extra = turn.tool_call, turn.extra
    if not call.name:
        return None
    arguments: dict[str, JsonValue] = dict(call.arguments)
    odd = extra.get("arguments")
    for key, value in odd.items() if isinstance(odd, dict) else ():
        if arguments.get(key) == _texts({key: value}).get(key):
            arguments[key] = value
    name, call_id = extra.get("tool"), extra.get("call_id")
    known = isinstance(name, str) and name in SHELLS and call.name == "bash"
    return Call(str(name) if known else call.name, arguments, call_id if isinstance(call_id, str) else "", call.error)


def said_of(turns: Sequence[Turn]) -> Said:
    """The message that these turns came from."""
    found = [call for turn in turns if (call := call_of(turn))]
    first = turns[0].text
    parts = _TEXT.fullmatch(first)
    words, reasoning = (parts["words"], parts["reasoning"] or "") if parts else (first, "")
    said = Said(words, reasoning, found, first)
    if _text(said, found[0] if found else Call("")) != first:
        said = Said(first.partition("<tool_call>")[0] if found else first, "", found, first)
    return said


def messages_of(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """The turns, those of one message together."""
    group: list[Turn] = []
    for turn in turns:
        if group and turn.extra.get("continues") is not True:
            yield group
            group = []
        group.append(turn)
    if group:
        yield group


def numbered(turns: Sequence[Turn]) -> list[str]:
    """An id for each call: its own where it has one that no other has."""
    ids: list[str] = []
    for i, turn in enumerate(turns):
        own = turn.extra.get("call_id")
        ids.append(own if isinstance(own, str) and own and own not in ids else f"call_{i}")
    return ids


def openai_call(call: dict[str, Any]) -> Call:
    """One of a message's `tool_calls`, as OpenAI has them."""
    arguments, error = arguments_of(call["function"].get("arguments"))
    return Call(call["function"]["name"], arguments, call.get("id") or "", error)


def arguments_of(text: Any) -> tuple[dict[str, JsonValue], str | None]:
    """The arguments of a call of OpenAI's format, and what is wrong with them."""
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        return {}, f"the arguments are not JSON ({error})"
    return (found, None) if isinstance(found, dict) else ({}, "the arguments are not an object")


def _text(said: Said, call: Call) -> str:
    """What a turn reads like."""
    thought = f"<think>\n{said.reasoning}\n</think>\n" if said.reasoning else ""
    if not call.name:
        return thought + said.words
    return thought + said.words + ("\n" if said.words else "") + call.spoken()


def _texts(arguments: dict[str, JsonValue]) -> dict[str, str]:
    """Values as models write them; null is as good as nothing."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in arguments.items()
        if value is not None
    }
