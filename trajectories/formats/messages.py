"""Chat messages and the turns they become: what most formats are made of.

Invariant: a chat is a system prompt, a first user prompt, and then messages of the model, each with what came back.
Text that a model wrote is never changed: the call is read from it, or stands beside it as OpenAI's `tool_calls`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from trajectories.formats.calls import Call, Result, Said, messages_of, numbered, openai_call, said_of, turns_of
from trajectories.formats.exchanges import by_call, exchanges
from trajectories.formats.prompts import statement
from trajectories.records import Turn

Message = dict[str, Any]
Parse = Callable[[str], Call | None]
_HERMES = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)</function>", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_EXIT = re.compile(r"\[(?:The command completed|Command finished) with exit code (-?\d+)[.\]]")


@dataclass
class Chat:
    """A chat, read."""

    turns: list[Turn] = field(default_factory=list)
    extra: dict[str, JsonValue] = field(default_factory=dict)
    """`system_prompt`, `user_prompt`, and `tool_calls` where calls stand beside the text."""
    statement: str = ""


def written_call(text: str) -> Call | None:
    """The last call that a text holds, in Hermes' dialect or with a tag for each parameter."""
    if found := _HERMES.findall(text):
        try:
            call = json.loads(found[-1])
            if isinstance(call["name"], str) and isinstance(call.get("arguments", {}), dict):
                return Call(call["name"], call.get("arguments", {}))
        except (ValueError, TypeError, KeyError):
            return Call("", error="the tool call is not JSON with a name and arguments")
    if functions := _FUNCTION.findall(text):
        name, body = functions[-1]
        return Call(name.strip(), dict(_PARAMETER.findall(body)))
    return None


def hear(messages: Sequence[Message], parse: Parse = written_call) -> Chat:
    """The chat of messages with `role` (system, user, assistant, tool) and `content` (text, or parts of text)."""
    chat = Chat()
    first = next((i for i, message in enumerate(messages) if message.get("role") == "assistant"), len(messages))
    for role, name in (("system", "system_prompt"), ("user", "user_prompt")):
        found = [content(message) for message in messages[:first] if message.get("role") == role]
        if found:
            chat.extra[name] = found[-1] if role == "user" else found[0]
    if any(message.get("tool_calls") for message in messages):
        chat.extra["tool_calls"] = True
    chat.statement = statement(str(chat.extra.get("user_prompt", "")))
    for message, answers in exchanges(messages[first:], lambda message: message.get("role") == "assistant"):
        said = heard(message, parse)
        chat.turns += turns_of(said, _results(said, answers))
    return chat


def heard(message: Message, parse: Parse = written_call) -> Said:
    """A message of the model."""
    words, reasoning = content(message), message.get("reasoning_content")
    calls = [openai_call(call) for call in message.get("tool_calls") or ()]
    reasoning = reasoning if isinstance(reasoning, str) else ""
    if calls:
        return Said(words, reasoning, calls)
    call = parse(words)
    written = f"<think>\n{reasoning}\n</think>\n{words}" if reasoning else words
    return Said(words, reasoning, [call] if call else [], written)


def say(turns: Sequence[Turn], extra: dict[str, JsonValue], fallback: str = "") -> list[Message]:
    """The messages of a chat. `fallback`: the first prompt where `extra` has none."""
    system, prompt = extra.get("system_prompt"), extra.get("user_prompt", fallback)
    messages: list[Message] = [{"role": "system", "content": system}] if isinstance(system, str) else []
    if isinstance(prompt, str) and prompt:
        messages.append({"role": "user", "content": prompt})
    beside = extra.get("tool_calls") is True
    ids = iter(numbered(turns))
    groups = list(messages_of(turns))
    for number, group in enumerate(groups):
        own = [next(ids) for _ in group]
        said = said_of(group)
        messages.append(tool_message(said, own) if beside else {"role": "assistant", "content": said.written})
        for turn, call_id in zip(group, own, strict=True):
            if turn.observation or number < len(groups) - 1:
                answer = {"role": "tool", "tool_call_id": call_id} if beside and said.calls else {"role": "user"}
                messages.append({**answer, "content": turn.observation})
    return messages


def tool_message(said: Said, ids: Sequence[str]) -> Message:
    """A message with its calls beside the text, as OpenAI has it."""
    message: Message = {"role": "assistant", "content": said.words}
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    if said.calls:
        message["tool_calls"] = [
            {
                "id": call.id or call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
            }
            for call, call_id in zip(said.calls, ids, strict=False)
        ]
    return message


def content(message: Message) -> str:
    """The text of a message."""
    found = message.get("content")
    if isinstance(found, list):
        return "".join(part.get("text") or "" if isinstance(part, dict) else str(part) for part in found)
    return found if isinstance(found, str) else ""


def exit_code(text: str) -> int | None:
    """What OpenHands writes under the output of a command."""
    found = _EXIT.search(text[-400:])
    return int(found[1]) if found else None


def _results(said: Said, answers: Sequence[Message]) -> list[Result]:
    """What came back to each call."""
    parts = by_call([call.id for call in said.calls], answers, lambda answer: answer.get("tool_call_id"))
    texts = ["\n".join(map(content, part)) for part in parts]
    return [Result(text, exit_code(text)) for text in texts]
