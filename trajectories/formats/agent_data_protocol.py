"""The Agent Data Protocol's standardised trajectories: actions and observations of one list, `content`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trajectories.formats import prompts, verdicts
from trajectories.formats.calls import Call, Result, Said, call_of, said_of, turns_of
from trajectories.formats.document import Document, DocumentFormat
from trajectories.formats.exchanges import exchanges
from trajectories.formats.messages import exit_code
from trajectories.formats.protocol import Sample
from trajectories.records import Trajectory, Turn

Item = dict[str, Any]


class AgentDataProtocolFormat(DocumentFormat):
    """Rows of `id`, `content` and `details`."""

    name = "agent-data-protocol"
    suffixes = (".jsonl", ".json")

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        return sample.has("id", "content", "details")

    def hear(self, document: Document) -> Trajectory:
        """See `DocumentFormat.hear`."""
        content, details = document["content"], document.get("details") or {}
        prompt = content[0]["content"] if content and content[0]["class_"] == "text_observation" else ""
        instance_id = prompts.instance(str(document["id"]))
        repo, base_commit = prompts.repository(instance_id)
        patch = _patch(details)
        resolved = {"True": True, "False": False}.get(str(details.get("resolved")))
        verdict = verdicts.plain(resolved)
        extra = {"user_prompt": prompt, "model": details.get("model_name") or ""}
        return Trajectory(
            id="",
            instance_id=instance_id,
            repo=repo,
            base_commit=base_commit,
            problem_statement=prompts.statement(prompt),
            turns=list(_turns(content[1:] if prompt else content)),
            patch=patch,
            status=verdicts.status(details.get("exit_status")),
            verdict=verdict,
            reward=verdicts.reward(verdict),
            created_at=0.0,
            extra={key: value for key, value in extra.items() if value}
            | ({} if patch else {"no_patch": "the row has none"}),
        )

    def say(self, trajectory: Trajectory) -> Document:
        """See `DocumentFormat.say`."""
        prompt = trajectory.extra.get("user_prompt", trajectory.problem_statement)
        content = [_seen(str(prompt), "user")] if prompt else []
        for turn in trajectory.turns:
            content.append(_done(turn))
            if turn.observation:
                content.append(_seen(turn.observation, "environment"))
        details: dict[str, Any] = {"generated_patch": trajectory.patch} if trajectory.patch else {}
        if trajectory.verdict is not None:
            details["resolved"] = str(trajectory.verdict.resolved)
        if model := trajectory.extra.get("model"):
            details["model_name"] = model
        return {"id": trajectory.instance_id, "content": content, "details": details}


def _turns(content: list[Item]) -> Iterator[Turn]:
    for action, answers in exchanges(content, lambda item: bool(item["class_"].endswith("_action"))):
        seen = "\n".join(str(item.get("content") or "") for item in answers)
        yield turns_of(_said(action), [Result(seen, exit_code(seen))])[0]


def _said(item: Item) -> Said:
    words = str(item.get("description") or "")
    if item["class_"] == "code_action":
        name = "bash" if item.get("language") in ("bash", "sh", "shell") else str(item.get("language") or "code")
        return Said(words, calls=[Call(name, {"command": item["content"]})])
    if item["class_"] == "api_action":
        return Said(words, calls=[Call(item["function"], dict(item.get("kwargs") or {}))])
    text = words + ("\n" if words else "") + str(item.get("content") or "")
    return Said(text, written=text)


def _done(turn: Turn) -> Item:
    made, said = call_of(turn), said_of([turn])
    if made is None:
        return {"class_": "message_action", "content": turn.text, "description": ""}
    if made.name == "bash" and list(made.arguments) == ["command"]:
        code = {"language": "bash", "content": made.arguments["command"]}
        return {"class_": "code_action", **code, "description": said.words}
    return {"class_": "api_action", "function": made.name, "kwargs": made.arguments, "description": said.words}


def _seen(text: str, source: str) -> Item:
    return {"class_": "text_observation", "content": text, "name": None, "source": source}


def _patch(details: dict[str, Any]) -> str:
    """The patch where a data set's own column has one."""
    tests = details.get("test_result")
    try:
        tests = json.loads(tests) if isinstance(tests, str) else tests
    except ValueError:
        tests = None
    found = details.get("generated_patch") or (tests.get("git_patch") if isinstance(tests, dict) else None)
    return found if isinstance(found, str) else ""
