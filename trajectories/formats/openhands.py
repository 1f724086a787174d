"""OpenHands' `output.jsonl` (V0): an evaluation's instances, each with the events of its run.

An action and its observation are two events; the observation's `cause` is the action's id. Actions that one answer of
the model asked for have the same `model_response`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from trajectories.formats import messages, prompts, verdicts
from trajectories.formats.calls import (
    Call,
    Result,
    Said,
    arguments_of,
    call_of,
    messages_of,
    numbered,
    said_of,
    turns_of,
)
from trajectories.formats.document import Document, DocumentFormat
from trajectories.formats.protocol import Sample
from trajectories.records import Trajectory, Turn

Event = dict[str, Any]
_NO_TURN = {"system", "recall", "change_agent_state", "null", "condensation"}
_KINDS = {"bash": "run", "think": "think", "finish": "finish", "str_replace_editor": "edit"}


class OpenHandsFormat(DocumentFormat):
    """A line for each instance."""

    name = "openhands"
    suffixes = (".jsonl", ".json")

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        return sample.has("instance_id", "history") and (sample.has("test_result") or sample.has("metadata"))

    def hear(self, document: Document) -> Trajectory:
        """See `DocumentFormat.hear`."""
        events = _flat(document["history"])
        if document["history"] and not any("action" in event or "observation" in event for event in events):
            raise ValueError("its history holds no events")
        instance = document.get("instance") or {}
        prompt = str(document.get("instruction") or "") or _first(events, "user", "message")
        repo, base_commit = prompts.repository(str(document["instance_id"]))
        patch = (document.get("test_result") or {}).get("git_patch") or document.get("git_patch") or ""
        verdict = verdicts.plain((document.get("report") or {}).get("resolved"))
        config = (document.get("metadata") or {}).get("llm_config") or {}
        extra: dict[str, JsonValue] = {"system_prompt": _first(events, "agent", "system"), "user_prompt": prompt}
        extra |= {
            "tool_calls": True,
            "model": config.get("model") or "",
            "no_patch": "" if patch else "the instance has none",
        }
        return Trajectory(
            id="",
            instance_id=str(document["instance_id"]),
            repo=str(instance.get("repo") or repo),
            base_commit=str(instance.get("base_commit") or base_commit),
            problem_statement=str(instance.get("problem_statement") or "") or prompts.statement(prompt),
            turns=_turns(events),
            patch=patch,
            status="truncated" if document.get("error") else "submitted",
            verdict=verdict,
            reward=verdicts.reward(verdict),
            agent="openhands",
            created_at=_time(events),
            extra={key: value for key, value in extra.items() if value},
        )

    def say(self, trajectory: Trajectory) -> Document:
        """See `DocumentFormat.say`."""
        prompt = trajectory.extra.get("user_prompt", trajectory.problem_statement)
        history: list[Event] = []
        if system := trajectory.extra.get("system_prompt"):
            history.append({"source": "agent", "action": "system", "args": {"content": system}})
        history.append({"source": "user", "action": "message", "args": {"content": prompt}})
        ids = iter(numbered(trajectory.turns))
        for number, group in enumerate(messages_of(trajectory.turns)):
            _tell(history, group, [next(ids) for _ in group], f"response_{number}")
        document: Document = {
            "instance_id": trajectory.instance_id,
            "instruction": prompt,
            "history": [{"id": i, **event} for i, event in enumerate(history)],
            "test_result": {"git_patch": trajectory.patch},
            "error": None if trajectory.status == "submitted" else trajectory.status,
            "instance": {
                "instance_id": trajectory.instance_id,
                "repo": trajectory.repo,
                "base_commit": trajectory.base_commit,
                "problem_statement": trajectory.problem_statement,
            },
        }
        if trajectory.verdict is not None:
            document["report"] = {"resolved": trajectory.verdict.resolved}
        if model := trajectory.extra.get("model"):
            document["metadata"] = {"llm_config": {"model": model}}
        return document


def _turns(events: Sequence[Event]) -> list[Turn]:
    actions = [e for e in events if e.get("source") == "agent" and e.get("action", "system") not in _NO_TURN]
    results = _results(events, actions)
    turns: list[Turn] = []
    last: str | None = None
    for event, result in zip(actions, results, strict=True):
        response = (event.get("tool_call_metadata") or {}).get("model_response") or {}
        again = bool(response.get("id")) and response["id"] == last
        last = response.get("id")
        said = Said() if again else _said(event, response)
        made = _call(event, response)
        turn = turns_of(
            Said(said.words, said.reasoning, [made] if made else [], None if made else said.words), [result]
        )[0]
        turns.append(turn.model_copy(update={"extra": turn.extra | {"continues": True}}) if again else turn)
    return turns


def _said(event: Event, response: dict[str, Any]) -> Said:
    """What the model said before its call."""
    args = event.get("args") or {}
    if response.get("choices"):
        message = response["choices"][0].get("message") or {}
        return Said(messages.content(message), str(message.get("reasoning_content") or ""))
    return Said(str(args.get("thought") or args.get("content") or ""))


def _call(event: Event, response: dict[str, Any]) -> Call | None:
    metadata, args = event.get("tool_call_metadata") or {}, event.get("args") or {}
    for choice in response.get("choices") or ():
        for call in (choice.get("message") or {}).get("tool_calls") or ():
            if call.get("id") == metadata.get("tool_call_id"):
                arguments, error = arguments_of(call["function"].get("arguments"))
                return Call(call["function"]["name"], arguments, call.get("id") or "", error)
    if event["action"] == "message":
        return None
    arguments = {key: value for key, value in args.items() if key not in ("thought", "content")}
    return Call(
        str(metadata.get("function_name") or event["action"]), arguments, str(metadata.get("tool_call_id") or "")
    )


def _results(events: Sequence[Event], actions: Sequence[Event]) -> list[Result]:
    """What came back to each action: by its id, else to the last action before it."""
    found: dict[int, Result] = {}
    places = {action.get("id"): i for i, action in enumerate(actions)}
    last = -1
    for event in events:
        if event.get("id") in places and actions[places[event["id"]]] is event:
            last = places[event["id"]]
        elif "observation" in event and (place := places.get(event.get("cause"), last)) >= 0 and place not in found:
            extras = event.get("extras") or {}
            code = (extras.get("metadata") or {}).get("exit_code", extras.get("exit_code"))
            code = code if isinstance(code, int) and code >= 0 else None
            found[place] = Result(str(event.get("content") or ""), code)
    return [found.get(i, Result()) for i in range(len(actions))]


def _tell(history: list[Event], group: list[Turn], ids: list[str], response_id: str) -> None:
    """Add the events of one message and of what came back."""
    said = said_of(group)
    response = {"id": response_id, "choices": [{"message": messages.tool_message(said, ids)}]}
    for turn, call_id in zip(group, ids, strict=True):
        made = call_of(turn)
        if made is None:
            history.append({"source": "agent", "action": "message", "args": {"content": said.words}})
        else:
            kind = "read" if made.arguments.get("command") == "view" else _KINDS.get(turn.tool_call.name, made.name)
            metadata = {"function_name": made.name, "tool_call_id": call_id, "model_response": response}
            args = {**made.arguments, "thought": said.words}
            history.append({"source": "agent", "action": kind, "args": args, "tool_call_metadata": metadata})
        if turn.observation or turn.exit_code is not None:
            answer: Event = {"source": "agent", "cause": len(history) - 1, "observation": history[-1]["action"]}
            answer |= {"content": turn.observation, "extras": {}}
            if turn.exit_code is not None:
                answer["extras"] = {"metadata": {"exit_code": turn.exit_code}}
            history.append(answer)


def _flat(history: list[Any]) -> list[Event]:
    """The events; old files keep them in pairs."""
    return [
        event for item in history for event in (item if isinstance(item, list) else [item]) if isinstance(event, dict)
    ]


def _first(events: Sequence[Event], source: str, action: str) -> str:
    found = (e for e in events if e.get("source") == source and e.get("action") == action)
    return str((next(found, {}).get("args") or {}).get("content") or "")


def _time(events: Sequence[Event]) -> float:
    """When the first event was, in seconds since the epoch; 0 where that is not said."""
    stamp = next((e["timestamp"] for e in events if isinstance(e.get("timestamp"), str)), "")
    try:
        time = datetime.fromisoformat(stamp)
    except ValueError:
        return 0.0
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
