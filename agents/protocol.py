"""The two seams of this room: an engine turns token ids into token ids, an agent an environment into a trajectory.

Invariant: what is trained on is what was sampled. An engine gets token ids and returns token ids with the
log-probabilities under which they were drawn; text is only ever derived from them, never the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from envs.swe import SWEEnv
    from envs.task import TaskInstance
    from trajectories.records import Trajectory


class EngineError(RuntimeError):
    """The engine failed; never the policy's fault, so the episode carries no reward."""


@dataclass(frozen=True)
class Sampling:
    """How to sample one turn. Temperature 0 is greedy (log-probabilities are then those at temperature 1)."""

    temperature: float = 1.0
    max_new_tokens: int = 64
    seed: int | None = None


@dataclass(frozen=True)
class Completion:
    """One sampled turn.

    `logprobs[i]` is the natural-log probability of `token_ids[i]` under the tempered distribution it was drawn from.
    `stop` means that the last token is an end-of-turn token; `length`, that the limit came first.
    """

    token_ids: list[int]
    logprobs: list[float]
    finish: Literal["stop", "length"]
    version: int


class Engine(Protocol):
    """The policy, as the agent loop sees it."""

    @property
    def version(self) -> int:
        """Version of the weights that sample now; goes up by one with each `update_weights`."""

    @property
    def max_context(self) -> int:
        """Longest sequence, prompt and completion together, in tokens."""

    async def generate(self, session: str, token_ids: list[int], sampling: Sampling) -> Completion:
        """Continue `token_ids` (the whole context so far). Calls that wait together are computed together.

        `session` names the episode: an engine may keep its key-value cache between the calls of a session, which
        never changes the result. Raises `EngineError`.
        """

    async def close_session(self, session: str) -> None:
        """The episode is over: forget its cache. Unknown sessions are ignored."""

    def update_weights(self, version: int) -> None:
        """Sample with the learner's current weights from now on, as `version`."""


class Agent(Protocol):
    """Plays one episode. Never raises for what the policy did; infrastructure failure comes back as a status."""

    @property
    def name(self) -> str:
        """`tools`, `expert`, ...: recorded in the trajectory."""

    async def run(self, env: SWEEnv, task: TaskInstance, engine: Engine | None, *, group: str = "") -> Trajectory:
        """Reset the environment to the task, act until it ends, and return all of it."""
