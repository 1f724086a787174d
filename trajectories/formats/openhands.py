"""OpenHands' `output.jsonl` (V0): an evaluation's instances, each with the events of its run.

An action and its observation are two events; the observation's `cause` is the action's id. Actions that one answer of
the model asked for have the same `model_response`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from trajectories.formats import messages, prompts, verdicts
from trajectories.formats.calls import call_of, messages_of, numbered, said_of
from trajectories.formats.document import Document, DocumentFormat
from trajectories.formats.event_turns import begun
from trajectories.formats.history_turns import Event, turns
from trajectories.formats.protocol import Sample
from trajectories.records import Trajectory, Turn

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
            turns=turns(events),
            patch=patch,
            status="truncated" if document.get("error") else "submitted",
            verdict=verdict,
            reward=verdicts.reward(verdict),
            agent="openhands",
            created_at=begun(events),
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
