"""`gymnasium.make("envs:contextrl/SWE-v0", task=...)`.

Invariant: what is given as text is looked up on this machine when the environment is made, so that the same call works
in another process, such as a worker of a vector of environments.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from envs.repos import load_profile
from envs.swe import EpisodeError, SWEEnv
from envs.task import RepoProfile, TaskInstance
from envs.tasksets.registry import find_taskset
from sandbox.protocol import SandboxBackend

_OPTIONS = set(inspect.signature(SWEEnv).parameters) - {"tasks", "profiles", "backend"}


def make_env(
    task: TaskInstance | str | None = None,
    *,
    tasks: Sequence[TaskInstance] | str | None = None,
    profiles: Mapping[str, RepoProfile] | None = None,
    backend: SandboxBackend | str = "auto",
    **options: Any,
) -> SWEEnv:
    """An environment of one task (`task`) or of many (`tasks`).

    Both may be text: `"SET/INSTANCE"` is one task of a task set, `"SET"` all of it (see `envs.tasksets.registry`).
    `profiles` are those in the home folder unless given; `backend` is a backend's name unless it is one; `options` go
    to `SWEEnv`. Raises `EpisodeError`, `RepoError` and `TaskSetError`, each in one sentence.
    """
    if (task is None) == (tasks is None):
        raise EpisodeError('give either task="SET/INSTANCE" or tasks="SET"')
    if unknown := sorted(set(options) - _OPTIONS):
        raise EpisodeError(f"there is no option {unknown[0]!r}: {', '.join(sorted(_OPTIONS))}")
    chosen = _found(task if task is not None else tasks)
    if task is not None and len(chosen) != 1:
        raise EpisodeError(f"task={task!r} names {len(chosen)} tasks: give tasks={task!r} to play all of them")
    if profiles is None:
        profiles = {name: load_profile(name) for name in sorted({t.profile for t in chosen} - {""})}
    return SWEEnv(chosen, profiles, backend, **options)


def _found(what: TaskInstance | Sequence[TaskInstance] | str | None) -> list[TaskInstance]:
    if isinstance(what, TaskInstance):
        return [what]
    if not isinstance(what, str):
        tasks = [task for task in what or () if isinstance(task, TaskInstance)] if isinstance(what, Sequence) else []
        if not isinstance(what, Sequence) or len(tasks) != len(what):
            raise EpisodeError(f'{what!r} is no task: give "SET/INSTANCE", "SET" or TaskInstance objects')
        return tasks
    name, slash, instance_id = what.rpartition("/")
    try:
        return find_taskset(what)
    except ValueError:
        if not slash:
            raise
    found = [task for task in find_taskset(name) if task.instance_id == instance_id]
    if not found:
        raise EpisodeError(f"the task set {name!r} has no task {instance_id!r}")
    return found
