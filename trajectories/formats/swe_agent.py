"""SWE-agent's `.traj`: steps and history, of runs in text, XML or function calling; some have only the history.

Of a run by function calling the steps have the words only; its calls stand in the history.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from trajectories.formats import messages, prompts, verdicts
from trajectories.formats.calls import Result, Said, call_of, messages_of, said_of, turns_of
from trajectories.formats.document import Document, DocumentFormat
from trajectories.formats.protocol import Sample
from trajectories.formats.shell_actions import action, call, fenced_call, line
from trajectories.records import Trajectory, Turn

_FOLDER = re.compile(r'"working_dir": "/([\w.-]+?)__([\w.-]+)"')


class SweAgentFormat(DocumentFormat):
    """One run a file."""

    name = "swe-agent"
    suffixes = (".traj", ".traj.json", ".json", ".jsonl")
    alone = True

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        if not sample.has("history") or sample.has("metadata", "instance"):
            return False
        return sample.has("trajectory") or set(sample.first) <= {"history", "info", "environment", "contextrl"}

    def hear(self, document: Document) -> Trajectory:
        """See `DocumentFormat.hear`."""
        history = [message for message in document["history"] if not message.get("is_demo")]
        if not all("role" in message for message in history):
            raise KeyError("role")
        chat = messages.hear(history, fenced_call)
        steps, info = document.get("trajectory"), document.get("info") or {}
        turns = chat.turns if steps is None else list(_turns(steps, history))
        instance_id, base_commit = _task(document)
        instance_id = instance_id or prompts.nameless(chat.statement)
        repo, commit = prompts.repository(instance_id)
        return Trajectory(
            id="",
            instance_id=instance_id,
            repo=repo or _repository(steps or ()),
            base_commit=base_commit or commit,
            problem_statement=chat.statement,
            turns=turns,
            patch=info.get("submission") or "",
            status=verdicts.status(info.get("exit_status")),
            agent="swe-agent",
            created_at=0.0,
            extra=chat.extra | ({} if info.get("submission") else {"no_patch": "the file has no submission"}),
        )

    def say(self, trajectory: Trajectory) -> Document:
        """See `DocumentFormat.say`."""
        task = {
            "env": {"repo": {"base_commit": trajectory.base_commit}},
            "problem_statement": {"id": trajectory.instance_id, "text": trajectory.problem_statement},
        }
        groups, beside = messages_of(trajectory.turns), trajectory.extra.get("tool_calls") is True
        return {
            "trajectory": [step for group in groups for step in _steps(group, beside)],
            "history": messages.say(trajectory.turns, trajectory.extra, trajectory.problem_statement),
            "info": {"exit_status": verdicts.exit_word(trajectory), "submission": trajectory.patch},
            "replay_config": json.dumps(task),
        }


def _turns(steps: list[dict[str, Any]], history: list[messages.Message]) -> Iterator[Turn]:
    spoken = iter([message for message in history if message.get("role") == "assistant" and message.get("tool_calls")])
    message = next(spoken, None)
    for step in steps:
        response = str(step.get("response") or step.get("thought") or "")
        result = Result(str(step.get("observation") or ""), None, float(step.get("execution_time") or 0.0))
        if message is not None and message.get("action", step.get("action")) == step.get("action"):
            yield from turns_of(messages.heard(message), [result])
            message = next(spoken, None)
        else:
            made = str(step.get("action") or "")
            calls = [call(made)] if made.strip() else []
            yield from turns_of(Said(response, calls=calls, written=response), [result])


def _steps(group: list[Turn], beside: bool) -> Iterator[dict[str, Any]]:
    said = said_of(group)
    written = said.written or ""
    for i, turn in enumerate(group):
        made = call_of(turn)
        in_text = action(written) if not i else None
        step = {
            "action": in_text if in_text is not None else line(made) if made else "",
            "observation": turn.observation,
            "response": (said.words if beside else written) if not i else "",
            "thought": said.words if not i else "",
        }
        yield step | ({"execution_time": turn.seconds} if turn.seconds else {})


def _task(document: Document) -> tuple[str, str]:
    """Instance id and base commit, as far as the run's configuration says them."""
    config = document.get("replay_config")
    config = json.loads(config) if isinstance(config, str) else config
    if not isinstance(config, dict):
        return "", ""
    repo = (config.get("env") or {}).get("repo") or {}
    commit = str(repo.get("base_commit") or "")
    return str((config.get("problem_statement") or {}).get("id") or ""), "" if commit == "HEAD" else commit


def _repository(steps: Any) -> str:
    """The repository, by the folder that the environment keeps it in: /OWNER__NAME."""
    for step in steps:
        state = step.get("state")
        found = _FOLDER.search(state if isinstance(state, str) else json.dumps(state))
        if found:
            return f"{found[1]}/{found[2]}"
    return ""
