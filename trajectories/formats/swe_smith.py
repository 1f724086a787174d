"""Rows of data sets of trajectories: SWE-smith's, SWE-Gym's (sampled with OpenHands) and Nebius' (with SWE-agent).

All three are a chat and some columns. SWE-smith and SWE-Gym call it `messages`, Nebius `trajectory`, with other roles.
"""

from __future__ import annotations

from typing import Any

from trajectories.formats import messages, prompts, verdicts
from trajectories.formats.document import Document, DocumentFormat
from trajectories.formats.protocol import Sample
from trajectories.formats.shell_actions import fenced_call
from trajectories.records import Trajectory

_ROLES = {"ai": "assistant"}


class SweSmithFormat(DocumentFormat):
    """Rows with a chat, an instance id and whether it was resolved."""

    name = "swe-smith"
    suffixes = (".jsonl", ".json")

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        if sample.has("trajectory_format") or sample.has("history"):
            return False
        return sample.has("messages", "instance_id") or sample.has("trajectory", "instance_id")

    def hear(self, document: Document) -> Trajectory:
        """See `DocumentFormat.hear`."""
        nebius = "trajectory" in document
        chat = (
            messages.hear(_plain(document["trajectory"]), fenced_call)
            if nebius
            else messages.hear(document["messages"])
        )
        tests = document.get("test_result") or {}
        patch = document.get("generated_patch") if nebius else tests.get("git_patch", document.get("patch"))
        verdict = verdicts.plain(document.get("target" if nebius else "resolved"))
        instance_id = prompts.instance(document["instance_id"])
        repo, base_commit = prompts.repository(instance_id)
        extra = {
            "row": "nebius" if nebius else "swe-gym" if tests else "",
            "model": document.get("model_name" if nebius else "model") or "",
            "no_patch": "" if patch else "the row has none",
        }
        return Trajectory(
            id="",
            instance_id=instance_id,
            repo=repo,
            base_commit=base_commit,
            problem_statement=chat.statement,
            turns=chat.turns,
            patch=patch or "",
            status=verdicts.status(document.get("exit_status")),
            verdict=verdict,
            reward=verdicts.reward(verdict),
            agent={"nebius": "swe-agent", "swe-gym": "openhands"}.get(extra["row"], "swe-agent"),
            created_at=0.0,
            extra=chat.extra | {key: value for key, value in extra.items() if value},
        )

    def say(self, trajectory: Trajectory) -> Document:
        """See `DocumentFormat.say`."""
        chat = messages.say(trajectory.turns, trajectory.extra, trajectory.problem_statement)
        row, verdict = trajectory.extra.get("row"), trajectory.verdict
        document: Document = {"instance_id": trajectory.instance_id}
        if row == "nebius":
            document |= {"trajectory": [_nebius(message) for message in chat], "generated_patch": trajectory.patch}
            document["exit_status"] = verdicts.exit_word(trajectory)
        elif row == "swe-gym":
            document |= {"messages": chat, "test_result": {"git_patch": trajectory.patch}}
        else:
            document |= {"messages": chat, "patch": trajectory.patch}
        if verdict is not None:
            document["target" if row == "nebius" else "resolved"] = verdict.resolved
        if model := trajectory.extra.get("model"):
            document["model_name" if row == "nebius" else "model"] = model
        return document


def _plain(rows: list[dict[str, Any]]) -> list[messages.Message]:
    """Nebius' messages as everybody else writes them."""
    return [
        {"role": _ROLES.get(row["role"], row["role"]), "content": row.get("text") or row.get("system_prompt") or ""}
        for row in rows
    ]


def _nebius(message: messages.Message) -> dict[str, Any]:
    if message["role"] == "system":
        return {"role": "system", "system_prompt": message["content"], "text": None}
    return {"role": "ai" if message["role"] == "assistant" else "user", "text": messages.content(message)}
