"""What an objective is.

Invariant: an objective normalises its own loss over the whole minibatch before the minibatch is cut, so that losses
and metrics of micro-batches add up, and no term's denominator depends on another term's data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch

    from contextrl.choice import PairResult
    from contextrl.scoring import Scorer
    from trajectories.queries import Lesson

Feed = Literal["trajectories", "pairs"]
"""Which of the learner's two streams an objective eats: finished trajectories, or two-way choice prompts."""


@dataclass(frozen=True)
class Terms:
    """What an objective says about one micro-batch."""

    loss: torch.Tensor
    """Scalar, this micro-batch's part of the minibatch's loss."""
    metrics: dict[str, float]
    """Likewise parts: the sum over the micro-batches is the minibatch's value."""
    results: tuple[PairResult, ...] = ()
    """What the policy chose, for objectives that show pairs."""
    lessons: tuple[Lesson, ...] = ()
    """What was made of each trajectory, for objectives that are given some."""


@dataclass(frozen=True)
class Prepared:
    """What is left to learn from, and what was counted on the way."""

    items: Sequence[Any]
    metrics: dict[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Trajectory id -> why nothing is learned from it."""


class Objective(Protocol):
    """One term of the loss. The learner minimises the weighted sum of its objectives."""

    @property
    def name(self) -> str:
        """Prefix of its metrics."""

    @property
    def feed(self) -> Feed:
        """What `prepare` is given."""

    def prepare(self, data: Sequence[Any], policy: Scorer, reference: Scorer | None, max_tokens: int) -> Prepared:
        """Once for each batch of new data, before any update: advantages, log-probabilities without gradient."""

    def batches(self, items: Sequence[Any], max_tokens: int, device: torch.device) -> Iterator[Any]:
        """The items of one minibatch as micro-batches of at most `max_tokens` padded tokens."""

    def loss(self, policy: Scorer, batch: Any) -> Terms:
        """Loss and metrics of one micro-batch."""
