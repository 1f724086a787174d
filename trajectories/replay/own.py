"""Our own agents' turns, done again through the environment that they were played in.

Invariant: the environment is told what it was told then, a text that was no call included, with the limits of then as
far as the record has them.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from envs.grading import Grader
from envs.published import published_profile
from envs.runtime import image_of
from envs.swe import StepResult, SWEEnv
from envs.task import RepoProfile, TaskInstance
from envs.tools import NO_ACTION, Action
from sandbox.protocol import Limits, Sandbox, SandboxBackend
from trajectories.records import Status, Trajectory, Turn, Verdict
from trajectories.replay.scaffolds import ENVIRONMENT
from trajectories.replay.stage import Answer

_ANY_ORDER = {"run_tests", "search"}
"""Tools whose answers list what they found."""


class OwnStage:
    """Plays in an `SWEEnv`, which is open to whoever goes on where the replay ends."""

    def __init__(
        self,
        trajectory: Trajectory,
        task: TaskInstance,
        profile: RepoProfile | None,
        backend: SandboxBackend,
        grader: Grader | None = None,
        *,
        max_turns: int | None = None,
    ) -> None:
        """`max_turns`: how many turns the episode may have; as it had then by default."""
        self.task = task
        self._profile = profile
        settings = environment_of(trajectory)
        played = len(trajectory.turns) + (trajectory.status != "truncated")
        self.env = SWEEnv(
            [task],
            {profile.name: profile} if profile else {},
            backend,
            grader,
            limits=_limits(settings.get("limits", {})),
            max_turns=max_turns or turns_allowed(trajectory) or max(played, 1),
            max_observation_chars=_number(settings.get("max_observation_chars"), 4000),
        )
        self.last = StepResult("")

    @property
    def backend(self) -> str:
        """See `Stage`."""
        return self.env.backend_name

    @property
    def image(self) -> str:
        """See `Stage`."""
        profile = self._profile or published_profile(self.task)
        return profile.image or image_of(profile).name

    @property
    def sandbox(self) -> Sandbox | None:
        """See `Stage`."""
        return self.env.sandbox

    async def open(self) -> None:
        """See `Stage`."""
        await self.env.areset(self.task)

    async def play(self, turn: Turn) -> Answer:
        """See `Stage`."""
        call, expected = turn.tool_call, turn.observation
        if self.last.done:
            why = "the environment has ended the episode already"
            return Answer(expected, "", turn.exit_code, not_replayed=why, ended=True)
        if call.error is not None or not call.name:
            self.last = await self.env.astep(NO_ACTION)
            got = f"error: {call.error}" if call.error is not None else self.last.observation
        else:
            self.last = await self.env.astep(Action(call.name, dict(call.arguments)))
            got = self.last.observation
        return Answer(
            expected,
            got,
            turn.exit_code,
            self.last.exit_code,
            self.last.tree,
            self.last.diff if self.last.diff is not None else await self.env.patch(),
            self.last.cpu_seconds,
            ordered=call.name not in _ANY_ORDER,
        )

    def disturbed(self) -> None:
        """See `Stage`."""
        self.env.disturbed()

    @property
    def ended(self) -> Status | None:
        """See `Stage`."""
        return "submitted" if self.last.terminated else "truncated" if self.last.truncated else None

    @property
    def earned(self) -> float | None:
        """See `Stage`."""
        return self.last.reward

    async def grade(self) -> Verdict | None:
        """See `Stage`: the environment has graded a submission already, and grades nothing else."""
        return Verdict(**asdict(self.env.report)) if self.env.report else None

    async def patch(self) -> str:
        """See `Stage`."""
        return await self.env.patch()

    async def close(self) -> None:
        """See `Stage`."""
        await self.env.aclose()


def environment_of(trajectory: Trajectory) -> dict[str, Any]:
    """The settings of the environment, as far as the episode wrote them down."""
    found = trajectory.extra.get(ENVIRONMENT)
    return dict(found) if isinstance(found, dict) else {}


def turns_allowed(trajectory: Trajectory) -> int:
    """How many turns the episode might have; 0 where that was not written down."""
    return _number(environment_of(trajectory).get("max_turns"), 0)


def _limits(settings: Any) -> Limits:
    """Those of then, as far as they make sense."""
    known = {field.name for field in fields(Limits)}
    try:
        return Limits(**{k: v for k, v in dict(settings).items() if k in known})
    except (TypeError, ValueError):
        return Limits()


def _number(value: Any, default: int) -> int:
    return value if type(value) is int and value > 0 else default
