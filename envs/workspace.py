"""What an agent works in: a sandbox that holds the repository as its task shows it, and what was changed there.

Invariant: nothing in the sandbox tells which files the task changed, or how they read before. The repository is a fresh
one of one commit, all times are equal, and what an agent changed is read from outside and compared with what it was
given: neither git nor any program of the sandbox that an agent could have replaced has a say.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from envs.changes import Changes, Watch
from envs.git_objects import EPOCH
from envs.listing import Listed, list_files
from envs.origin import ImageOrigin, Origin, TreeOrigin
from envs.published import break_image
from envs.runtime import image_of
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import Limits, Sandbox, SandboxBackend, SandboxError

_SMALL_TREE = 2000
"""Files up to which the times of all are set anew, which costs 0.06 ms a file in the local backend. In larger trees,
and where the problem statement names what the task changed, those of what was written are enough."""
_COARSE_CLOCK = 5
"""Linux: CLOCK_REALTIME_COARSE, which Python has no name for."""
_TICK_S, _ROUNDING_S = 0.02, 0.0001
_LIST_KB = 8192
"""Captured output, KiB: the list of all files must fit. As the grader's, so that both take from one pool."""


@dataclass
class Workspace:
    """One sandbox with one task. Belongs to whoever opened it, who closes it."""

    sandbox: Sandbox
    origin: Origin
    times: Mapping[str, float] = field(default_factory=dict)
    """Path -> time of modification when it was given, where that is not `EPOCH`."""
    given_at: float | None = None
    """When all was given; None where the sandbox has another machine's clock."""

    def __post_init__(self) -> None:
        self.watch = Watch(self.sandbox, self.origin, self.times, self.given_at)

    async def changes(self) -> Changes:
        """What the agent changed. Raises `SandboxError` when the sandbox failed."""
        return await self.watch.look()

    async def close(self) -> None:
        """Stop the sandbox. Safe to call twice."""
        await self.sandbox.stop()
        await self.origin.close()


def _times(there: Mapping[str, Listed]) -> dict[str, float]:
    return {path: file.modified for path, file in there.items()}


def _now(backend: SandboxBackend) -> float | None:
    """Files take their times from a clock that ticks every few milliseconds: what is written now may bear the last
    tick. Where no system tells that clock, it is a tick behind at most.
    """
    if backend.name == "remote":
        return None
    try:
        return time.clock_gettime(_COARSE_CLOCK) - _ROUNDING_S
    except OSError:
        return time.time() - _TICK_S


async def open_workspace(
    backend: SandboxBackend, task: TaskInstance, profile: RepoProfile, limits: Limits
) -> Workspace:
    """A fresh sandbox as the task shows it. Raises `SandboxError`."""
    limits = replace(limits, output_kb=max(limits.output_kb, _LIST_KB))
    image = image_of(profile)
    sandbox = await backend.start(image, limits, network=task.network)
    try:
        if image.reference:
            changed = await break_image(sandbox, task)
            there = await list_files(sandbox)
            given = {path: file.shown for path, file in there.items()}
            origin: Origin = ImageOrigin(image, backend, limits, given, changed)
            return Workspace(sandbox, origin, _times(there), _now(backend))
        origin = tree = TreeOrigin(task, profile)
        setup = {path: text.encode() for path, text in task.setup.items()}
        await sandbox.write({**setup, **tree.repository})
        hidden = len(origin.given) <= _SMALL_TREE and any(path not in task.problem_statement for path in setup)
        await _set_times(sandbox, None if hidden else [*setup, *tree.repository])
        known = hidden or tree.equal_times
        return Workspace(sandbox, origin, {} if known else _times(await list_files(sandbox)), _now(backend))
    except BaseException:
        await sandbox.stop()
        raise


async def _set_times(sandbox: Sandbox, written: list[str] | None) -> None:
    """Equal times of modification everywhere. The time of the last change of status cannot be chosen, it is set to now
    for all files (None) or only for those that were written.
    """
    touch = ["/usr/bin/touch", "--no-dereference", f"--date=@{EPOCH}", "--"]
    if written is None:
        command = ["/usr/bin/find", ".", "-exec", *touch, "{}", "+"]
    else:
        folders = {str(parent) for path in written for parent in Path(path).parents}
        command = [*touch, *written, *sorted(folders)]
    result = await sandbox.run(command)
    if result.exit_code:
        raise SandboxError(f"the times of files cannot be set: {result.output[-200:]}")
