"""Whether what is trained on is what was sampled: each episode rendered and tokenised again, beside its record.

Invariant: nothing is trained on what is made here. What was shown must come out as it was recorded; what was sampled
need not (a policy may spell a word in other tokens than its tokenizer), which is why the record is trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from agents.chat import Chat
from trajectories.records import Trajectory


class Drift(NamedTuple):
    """What rendering episodes again gives otherwise than their records."""

    prompts: int = 0
    """Turns whose prompt comes out otherwise: a fault of ours, or of the chat template."""
    sampled: int = 0
    """Turns whose sampled tokens would not come back from their text."""
    turns: int = 0
    first: str = ""
    """Where the first prompt differs."""

    def row(self) -> dict[str, float]:
        """As columns of an iteration's metrics: shares of the turns."""
        return (
            {"drift_prompts": self.prompts / self.turns, "drift_sampled": self.sampled / self.turns}
            if self.turns
            else {}
        )


def drift(trajectories: Iterable[Trajectory], chat: Chat) -> Drift:
    """Of episodes that a policy played by this chat."""
    prompts = sampled = turns = 0
    first = ""
    for trajectory in trajectories:
        shown = chat.opening(trajectory.problem_statement)
        for number, turn in enumerate(trajectory.turns, 1):
            if shown != turn.prompt_ids:
                prompts += 1
                first = first or f"trajectory {trajectory.id}, turn {number}: {_differing(shown, turn.prompt_ids)}"
            said = chat.encode(chat.decode(turn.completion_ids))
            ended = turn.completion_ids[len(said) :]
            sampled += turn.completion_ids[: len(said)] != said or len(ended) > 1
            turns += 1
            closed = turn.completion_ids[-1:] == [chat.end_of_turn]
            shown = chat.observation(turn.observation, closed=closed)
    return Drift(prompts, sampled, turns, first)


def _differing(one: Sequence[int], other: Sequence[int]) -> str:
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"token {at + 1} of {len(other)} is {[*other, None][at]} in the record and {[*one, None][at]} rendered again"
