"""What becomes of each trajectory: its advantage, or why nothing is learned from it.

Invariant: an episode without a reward is in nobody's mean; an episode that is left out for its length is in its
group's, since it was played by the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from contextrl.batching import Sample
from contextrl.config import GRPOConfig
from contextrl.objectives.advantages import advantages
from contextrl.objectives.overlong import overlong_penalty
from trajectories.records import Trajectory

NO_REWARD = "died for a reason of ours: no reward"
FLAT = "all rewards of its group are the same"
NOTHING_SAMPLED = "nothing was sampled in it"
OVERLONG = "was cut short for its length"


class Credit(NamedTuple):
    """A trajectory and what is made of it."""

    trajectory: Trajectory
    group: str
    advantage: float | None
    why: str
    """Why nothing is learned from it; empty where something is."""


def credits_of(trajectories: Sequence[Trajectory], config: GRPOConfig, longest: int = 0) -> list[Credit]:
    """In groups, the groups in order of appearance. `longest`: tokens that an episode may have."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        groups.setdefault(trajectory.group or trajectory.instance_id, []).append(trajectory)
    rewards = [[_reward(t, config, longest) for t in group] for group in groups.values()]
    found = advantages(rewards, config.advantage_std)
    return [
        Credit(t, name, advantage, _why(t, advantage, config))
        for (name, group), values in zip(groups.items(), found, strict=True)
        for t, advantage in zip(group, values, strict=True)
    ]


def _reward(trajectory: Trajectory, config: GRPOConfig, longest: int) -> float | None:
    if trajectory.reward is None or not config.overlong_tokens:
        return trajectory.reward
    return trajectory.reward + overlong_penalty(len(trajectory.token_ids()), longest, config.overlong_tokens)


def _why(trajectory: Trajectory, advantage: float | None, config: GRPOConfig) -> str:
    if trajectory.reward is None:
        return NO_REWARD
    if advantage is None:
        return FLAT
    if not any(trajectory.loss_mask()):
        return NOTHING_SAMPLED
    return OVERLONG if config.overlong_filter and trajectory.status == "truncated" else ""


def sample_of(trajectory: Trajectory, advantage: float) -> Sample:
    """Raises `ValueError` for a record that nothing can be learned from."""
    ids, mask, logprobs = trajectory.token_ids(), trajectory.loss_mask(), trajectory.token_logprobs()
    if not len(ids) == len(mask) == len(logprobs):
        raise ValueError(
            f"trajectory {trajectory.id} has {len(ids)} tokens but {len(logprobs)} log-probabilities; "
            "each sampled token needs the one it was drawn with"
        )
    if mask and mask[0]:
        raise ValueError(f"trajectory {trajectory.id} starts with a sampled token; its first turn has no prompt")
    return Sample(ids, mask, logprobs, advantage, name=trajectory.id)
