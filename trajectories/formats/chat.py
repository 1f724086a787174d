"""Plain chats for fine-tuning: `{"messages": [{"role": ..., "content": ...}]}`, a line each."""

from __future__ import annotations

from trajectories.formats import messages, prompts
from trajectories.formats.document import Document, DocumentFormat
from trajectories.formats.protocol import Sample
from trajectories.records import Trajectory


class ChatFormat(DocumentFormat):
    """Chats of any kind; nothing but the messages is understood."""

    name = "chat"
    suffixes = (".jsonl", ".json")

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        return sample.has("messages") and not sample.has("instance_id") and not sample.has("trajectory_format")

    def hear(self, document: Document) -> Trajectory:
        """See `DocumentFormat.hear`."""
        chat = messages.hear(document["messages"])
        return Trajectory(
            id="",
            instance_id=prompts.nameless(chat.statement),
            repo="",
            base_commit="",
            problem_statement=chat.statement,
            turns=chat.turns,
            created_at=0.0,
            extra=chat.extra | {"no_patch": "a chat has none"},
        )

    def say(self, trajectory: Trajectory) -> Document:
        """See `DocumentFormat.say`."""
        return {"messages": messages.say(trajectory.turns, trajectory.extra, trajectory.problem_statement)}
