"""What a rollout waits for, and how many sandboxes it keeps alive.

Invariant: what is measured here is played all the same: the engine and the grader that are wrapped answer as they
would, and looking at sandboxes changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from agents.protocol import Completion, Engine, Sampling
from envs.grading import Grader, GradeReport
from envs.task import RepoProfile, TaskInstance
from sandbox.owners import is_ours
from sandbox.protocol import SandboxBackend, SandboxError
from trajectories.records import Trajectory

EVERY_S = 1.0
"""Between two looks at the sandboxes."""


class WaitedEngine:
    """An engine, and how long episodes waited for it, all together. See `Engine`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.waited = 0.0
        """Seconds."""

    @property
    def version(self) -> int:
        """As the engine says."""
        return self._engine.version

    @property
    def max_context(self) -> int:
        """As the engine says."""
        return self._engine.max_context

    async def generate(self, session: str, token_ids: list[int], sampling: Sampling) -> Completion:
        """What the engine answers."""
        started = time.monotonic()
        try:
            return await self._engine.generate(session, token_ids, sampling)
        finally:
            self.waited += time.monotonic() - started

    async def close_session(self, session: str) -> None:
        """Pass it on."""
        await self._engine.close_session(session)

    def update_weights(self, version: int) -> None:
        """Pass it on."""
        self._engine.update_weights(version)


class WaitedGrader:
    """A grader, and how long episodes waited for it, all together."""

    def __init__(self, grader: Grader) -> None:
        self._grader = grader
        self.waited = 0.0
        """Seconds."""

    async def grade(self, task: TaskInstance, profile: RepoProfile, patch: str) -> GradeReport:
        """What the grader says."""
        started = time.monotonic()
        try:
            return await self._grader.grade(task, profile, patch)
        finally:
            self.waited += time.monotonic() - started


def split(
    rollout: float, sampling: float, played: Sequence[Trajectory], engine_waited: float, grader_waited: float
) -> dict[str, float]:
    """Wall seconds of a rollout: `sampling` as given, the rest split between `sandbox` and `grading`.

    It is split as the episodes' own seconds are, which run beside each other: those in which they waited for a grading,
    and those that are neither that nor waiting for the policy.
    """
    rest = max(0.0, rollout - sampling)
    in_sandbox = max(0.0, sum(t.seconds for t in played) - engine_waited - grader_waited)
    share = grader_waited / (in_sandbox + grader_waited) if grader_waited else 0.0
    return {"sampling": sampling, "sandbox": rest * (1 - share), "grading": rest * share}


@asynccontextmanager
async def counted(backend: SandboxBackend) -> AsyncIterator[dict[str, float]]:
    """Count this process's sandboxes once a second; at the end of the block the result has `mean` and `most`.

    It stays empty where the backend does not say. Those of a sandbox service are the service's own, and all count.
    """
    seen: list[int] = []
    result: dict[str, float] = {}
    looking = asyncio.ensure_future(_look(backend, seen))
    try:
        yield result
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        if seen:
            result |= {"mean": sum(seen) / len(seen), "most": max(seen)}


async def _look(backend: SandboxBackend, seen: list[int]) -> None:
    while True:
        await asyncio.sleep(EVERY_S / 2 if not seen else EVERY_S)
        try:
            names = await backend.alive()
        except SandboxError:  # who cannot be asked now is asked again
            continue
        seen.append(len(names) if backend.name == "remote" else sum(map(is_ours, names)))
