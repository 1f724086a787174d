"""Tasks with hidden differential tests.

Invariant: tasks of one function that want the same repaired files have the same hidden calls; every call was answered
by the files that the gold patch leads to.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from envs.patch import apply_patch
from envs.repos.store import test_times
from envs.synthesis.asking import Subject
from envs.synthesis.differential import hidden_calls
from envs.synthesis.units import with_methods
from envs.task import RepoProfile, TaskInstance
from envs.testing.runner import Progress, silent
from sandbox.protocol import SandboxBackend

_TESTS = 8
"""Tests whose calls of a function are watched, and how many seconds they may take together."""
_TESTS_S = 2.0


async def with_hidden(
    profile: RepoProfile,
    tasks: Sequence[TaskInstance],
    *,
    backend: SandboxBackend,
    workers: int = 2,
    on_progress: Progress = silent,
) -> list[TaskInstance]:
    """The tasks in their order, with hidden calls where they had none and the function allows it.

    Functions that no test calls, or whose arguments cannot be told as text, go without; of several, the first is
    called. Raises `SandboxError`.
    """
    repaired = [_changes(profile, task, repaired=True) for task in tasks]
    groups: dict[tuple[object, ...], list[int]] = {}
    for i, task in enumerate(tasks):
        if not task.hidden and task.functions and with_methods(task.functions[0], profile.covers):
            groups.setdefault((task.functions[0], *sorted(repaired[i].items())), []).append(i)
    times = test_times(profile)
    subjects = [
        Subject(
            functions=(functions := with_methods(tasks[group[0]].functions[0], profile.covers)),
            targets=_targets([profile.covers[function] for function in functions], times),
            fixed=repaired[group[0]],
            broken=tuple(_changes(profile, tasks[i], repaired=False) for i in group),
        )
        for group in groups.values()
    ]
    options = {"backend": backend, "workers": workers, "on_progress": on_progress}
    found = await hidden_calls(profile, subjects, **options)  # type: ignore[arg-type]
    calls = {i: hidden for group, hidden in zip(groups.values(), found, strict=True) for i in group}
    return [task.model_copy(update={"hidden": calls.get(i, task.hidden)}) for i, task in enumerate(tasks)]


def _targets(tests: Sequence[Sequence[str]], times: dict[str, float]) -> tuple[str, ...]:
    """The nearest tests of each function in turn, while they are quick."""
    chosen: list[str] = []
    for test in dict.fromkeys(test for turn in zip_longest(*tests) for test in turn if test is not None):
        if len(chosen) < _TESTS and (not chosen or sum(times.get(t, 0.0) for t in [*chosen, test]) <= _TESTS_S):
            chosen.append(test)
    return tuple(chosen)


def _changes(profile: RepoProfile, task: TaskInstance, *, repaired: bool) -> dict[str, str]:
    """What differs from the tree: as the agent finds it, or with the gold patch; with the grader's tests."""

    def in_tree(path: str) -> str | None:
        file = profile.tree / path
        return file.read_bytes().decode(errors="replace") if file.is_file() else None

    files: dict[str, str | None] = {**task.setup, **task.tests}
    if repaired:
        files |= apply_patch(lambda path: task.setup.get(path, in_tree(path)), task.patch)
    return {path: text for path, text in files.items() if text is not None and text != in_tree(path)}
