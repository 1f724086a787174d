"""OpenHands' events (V1): `events.jsonl`, or a folder `events` with a file for each.

The events of one conversation are one trajectory; as a document they are `{"events": [...]}`. What is ours is one more
event, a state update with the key `contextrl`, which OpenHands accepts and passes over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from trajectories.formats import prompts
from trajectories.formats.calls import (
    call_of,
    messages_of,
    numbered,
    said_of,
)
from trajectories.formats.document import KEY, Document, DocumentFormat
from trajectories.formats.event_turns import begun, spoken, text, turns
from trajectories.formats.files import FormatError
from trajectories.formats.json_values import values
from trajectories.formats.protocol import Sample
from trajectories.formats.writing import text_of
from trajectories.records import Trajectory, Turn

Event = dict[str, Any]


class OpenHandsEventsFormat(DocumentFormat):
    """One conversation a file, an event a line."""

    name = "openhands-events"
    suffixes = (".events.jsonl", "events.jsonl", ".jsonl", ".json")
    alone = True
    lines = False

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        return sample.has("kind", "source", "timestamp") and str(sample.first["kind"]).endswith("Event")

    def documents(self, path: Path) -> Iterator[tuple[str, Document]]:
        """See `DocumentFormat.documents`."""
        paths = sorted(path.glob("*.json")) if path.is_dir() else [path]
        events = [event for file in paths for _, event in values(file)]
        if not all(isinstance(event, dict) and isinstance(event.get("kind"), str) for event in events):
            raise FormatError(f"{path}: not every value is an event with a `kind`, so it is not of OpenHands' events")
        if events:
            yield str(path), {"events": events}

    def take(self, document: Document) -> tuple[Document, Any]:
        """See `DocumentFormat.take`."""
        ours = [event for event in document["events"] if event.get("key") == KEY]
        events = [event for event in document["events"] if event.get("key") != KEY]
        return {"events": events}, ours[-1].get("value") if ours else None

    def put(self, document: Document, ours: Any) -> Document:
        """See `DocumentFormat.put`."""
        event = {"kind": "ConversationStateUpdateEvent", "id": KEY, "timestamp": _STAMP, "source": "environment"}
        return {"events": [*document["events"], event | {"key": KEY, "value": ours}]}

    def files(self, document: Document, name: str) -> dict[str, str]:
        """See `DocumentFormat.files`."""
        return {name: "".join(text_of(event) + "\n" for event in document["events"])}

    def hear(self, document: Document) -> Trajectory:
        """See `DocumentFormat.hear`."""
        events = document["events"]
        system = next((text([e.get("system_prompt")]) for e in events if e.get("kind") == "SystemPromptEvent"), "")
        prompt = next((spoken(e) for e in events if e.get("kind") == "MessageEvent" and e["source"] == "user"), "")
        problem = prompts.statement(prompt)
        extra: dict[str, JsonValue] = {"system_prompt": system, "user_prompt": prompt}
        extra |= {"tool_calls": True, "no_patch": "events have none"}
        failed = any(event.get("kind") == "ConversationErrorEvent" for event in events)
        return Trajectory(
            id="",
            instance_id=prompts.nameless(problem),
            repo="",
            base_commit="",
            problem_statement=problem,
            turns=list(turns(events)),
            status="truncated" if failed else "submitted",
            agent="openhands",
            created_at=begun(events),
            extra={key: value for key, value in extra.items() if value},
        )

    def say(self, trajectory: Trajectory) -> Document:
        """See `DocumentFormat.say`."""
        system = trajectory.extra.get("system_prompt")
        prompt = trajectory.extra.get("user_prompt", trajectory.problem_statement)
        events: list[Event] = []
        if system:
            events.append({"kind": "SystemPromptEvent", "source": "agent", "system_prompt": _part(system), "tools": []})
        if prompt:
            events.append({"kind": "MessageEvent", "source": "user", "llm_message": _message("user", str(prompt))})
        context: list[int] = []
        ids = iter(numbered(trajectory.turns))
        for number, group in enumerate(messages_of(trajectory.turns)):
            own = [next(ids) for _ in group]
            events += _told(group, own, f"response_{number}")
            first = group[0]
            context += first.prompt_ids
            if first.completion_ids:
                tokens = {"prompt_token_ids": list(context), "response_token_ids": first.completion_ids}
                events.append({"kind": "TokenEvent", "source": "agent", **tokens})
            context += first.completion_ids
        return {"events": [{"id": f"event_{i}", "timestamp": _STAMP, **event} for i, event in enumerate(events)]}


_STAMP = "1970-01-01T00:00:00"


def _told(group: list[Turn], ids: list[str], response_id: str) -> Iterator[Event]:
    said = said_of(group)
    for i, (turn, call_id) in enumerate(zip(group, ids, strict=True)):
        made = call_of(turn)
        if made is None:
            yield {"kind": "MessageEvent", "source": "agent", "llm_message": _message("assistant", said.words)}
            continue
        action_id = f"action_{call_id}"
        spoken = {"id": call_id, "name": made.name, "arguments": json.dumps(made.arguments, ensure_ascii=False)}
        if not turn.extra.get("unasked"):
            yield {
                "kind": "ActionEvent",
                "id": action_id,
                "source": "agent",
                "thought": [_part(said.words)] if said.words and not i else [],
                "reasoning_content": said.reasoning if said.reasoning and not i else None,
                "tool_name": made.name,
                "tool_call_id": call_id,
                "tool_call": spoken | {"origin": "completion"},
                "llm_response_id": response_id,
            }
        if turn.observation or turn.exit_code is not None:
            seen: dict[str, Any] = {
                "content": [_part(turn.observation)],
                "is_error": False,
                "exit_code": turn.exit_code,
            }
            if "command" in made.arguments:
                seen["command"] = made.arguments["command"]
            called = {"tool_name": made.name, "tool_call_id": call_id, "action_id": action_id}
            yield {"kind": "ObservationEvent", "source": "environment", "observation": seen, **called}


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [_part(text)]}


def _part(text: Any) -> dict[str, Any]:
    return {"type": "text", "text": text}
