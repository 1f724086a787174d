"""A stored trajectory made ready to be replayed: its task, its sandboxes, and where it is played again.

Invariant: the backend is closed when the block is left, whatever happened in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from envs.grading import Grader
from envs.grading.choose import TaskGrader
from sandbox.backends import NAMES, open_backend
from sandbox.loop import run_sync
from sandbox.protocol import BackendUnavailable, SandboxBackend
from trajectories.records import Trajectory
from trajectories.replay.foreign import ForeignStage
from trajectories.replay.own import OwnStage
from trajectories.replay.replaying import Replay
from trajectories.replay.scaffolds import scaffold_of
from trajectories.replay.tasks import Ground, TaskMissing, find_ground
from trajectories.store import SQLStore


@dataclass(frozen=True)
class Wanted:
    """What a user asks for."""

    tasks: str | None = None
    repo: Path | None = None
    backend: str = "auto"


def ground_of(trajectory: Trajectory, store: SQLStore | None, wanted: Wanted) -> Ground:
    """What it is replayed on. Raises `TaskMissing`."""
    foreign = scaffold_of(trajectory) != "own"
    if wanted.repo is not None and not foreign:
        raise TaskMissing(
            "--repo is for trajectories of other programs: this one was played on a task of ours, which also says how "
            "it is graded; give --tasks SET"
        )
    return find_ground(trajectory, store=store, tasks=wanted.tasks, repo=wanted.repo, imported=foreign)


async def backend_for(trajectory: Trajectory, ground: Ground, name: str) -> SandboxBackend:
    """The backend of that name; for `auto` the one that it was played in, where that works and can start the image."""
    published = bool(ground.task.image and not ground.task.profile) or bool(ground.profile and ground.profile.image)
    if name == "auto" and published:
        return await open_backend("docker")
    if name == "auto" and trajectory.backend in NAMES:
        try:
            return await open_backend(trajectory.backend)
        except BackendUnavailable:
            pass
    return await open_backend(name)


def another_backend(trajectory: Trajectory, used: str) -> str:
    """What is to be said where the record names another backend than is used; empty where it names none."""
    named = trajectory.backend
    if named in ("", "auto", used):
        return ""
    why = "does not work here" if named in NAMES else "is none"
    return f"The record names the backend {named[:40]!r}, which {why}: it is replayed in {used}."


def replay_of(
    trajectory: Trajectory,
    ground: Ground,
    backend: SandboxBackend,
    grader: Grader | None = None,
    *,
    max_turns: int | None = None,
) -> Replay:
    """The replay, not begun."""
    if scaffold_of(trajectory) == "own":
        stage = OwnStage(trajectory, ground.task, ground.profile, backend, grader, max_turns=max_turns)
        return Replay(trajectory, stage, note=ground.note)
    return Replay(trajectory, ForeignStage(trajectory, ground, backend), note=ground.note)


@contextmanager
def open_replay(
    trajectory: Trajectory, ground: Ground, wanted: Wanted, *, max_turns: int | None = None
) -> Iterator[Replay]:
    """A replay whose sandbox has started, on the background loop."""
    backend = run_sync(backend_for(trajectory, ground, wanted.backend))
    if wanted.backend == "auto" and (note := another_backend(trajectory, backend.name)):
        ground = replace(ground, note=f"{ground.note} {note}".strip())
    grader = TaskGrader(backend)
    replay = replay_of(trajectory, ground, backend, grader, max_turns=max_turns)
    try:
        run_sync(replay.open())
        yield replay
    finally:
        run_sync(_close(replay, grader, backend))


async def _close(replay: Replay, grader: TaskGrader, backend: SandboxBackend) -> None:
    await replay.close()
    await grader.close()
    await backend.close()
