"""Calls of a repository's functions, watched and asked in sandboxes, for many functions at once.

Invariant: what is asked comes back in the order of the subjects; a call that ends its process costs the calls of other
functions nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from envs.task import RepoProfile
from envs.testing.runner import Job, Outcome, Progress, run_jobs
from sandbox.protocol import SandboxBackend

_TOGETHER = 8
"""Functions whose calls share a process."""
_BROKEN = 4
"""Broken versions that are asked, to find the calls that tell them from the repaired one."""
_CALL_S = 0.1
"""CPU seconds that the repaired function may take; the grader allows more."""
_JOB_S = 20.0
_BROKEN_S = 2.0

Call = tuple[str, str]
"""Function and arguments."""


@dataclass(frozen=True)
class Subject:
    """What is called (`path::qualname`), the tests that do so, repaired files, broken ones.

    Files are path -> text relative to the tree; `fixed` empty: as it stands in the tree.
    """

    functions: tuple[str, ...]
    """The function that was broken, or the methods of a class."""
    targets: tuple[str, ...]
    fixed: Mapping[str, str] = field(default_factory=dict)
    broken: tuple[Mapping[str, str], ...] = ()


class Asker:
    """Runs the jobs, for all subjects at once."""

    def __init__(
        self,
        profile: RepoProfile,
        subjects: Sequence[Subject],
        backend: SandboxBackend,
        workers: int,
        on_progress: Progress,
    ) -> None:
        self._profile, self._subjects, self._backend = profile, subjects, backend
        self._workers, self._on_progress = workers, on_progress
        self._groups = list(_groups(subjects))

    async def _run(self, jobs: Sequence[Job], text: str, hash_seed: int = 0) -> list[Outcome]:
        return await run_jobs(
            self._profile,
            jobs,
            backend=self._backend,
            workers=self._workers,
            batch=max(1, min(32, -(-len(jobs) // self._workers))),
            hash_seed=hash_seed,
            on_progress=self._on_progress,
            text=text,
        )

    async def recorded(self) -> tuple[list[list[Call]], list[list[Call]]]:
        """The calls that were made of each subject in its tests, and calls that led to it."""
        jobs = []
        for group in self._groups:
            subjects = [self._subjects[i] for i in group]
            targets = dict.fromkeys(target for subject in subjects for target in subject.targets)
            functions = tuple(dict.fromkeys(function for subject in subjects for function in subject.functions))
            jobs.append(Job(tuple(targets), subjects[0].fixed, cpu_s=3 * _JOB_S, record=functions))
        seen: list[list[Call]] = [[] for _ in self._subjects]
        ways: list[list[Call]] = [[] for _ in self._subjects]
        for group, outcome in zip(self._groups, await self._run(jobs, "watching calls"), strict=True):
            for i in group:
                mine = self._subjects[i].functions
                seen[i] = [call for call in outcome.recorded if call[0] in mine]
                ways[i] = [(function, text) for reached, function, text in outcome.ways if reached in mine]
        return seen, ways

    async def answers(self, calls: Sequence[Sequence[Call]], hash_seed: int) -> list[dict[Call, str]]:
        """What the repaired functions answer. When a call ends its process, the other functions are asked again."""
        told: list[dict[Call, str]] = [{} for _ in calls]
        waiting = []
        for group in self._groups:
            asked = [(i, call) for i in group for call in calls[i]]
            waiting.append((self._subjects[group[0]].fixed, asked[::-1] if hash_seed else asked))
        while waiting := [(files, asked) for files, asked in waiting if asked]:
            jobs = [
                Job((), files, _JOB_S, calls=tuple(call for _, call in asked), call_s=_CALL_S, lasting=True)
                for files, asked in waiting
            ]
            outcomes = await self._run(jobs, "asking the repaired", hash_seed)
            for (_, asked), outcome in zip(waiting, outcomes, strict=True):
                for (i, call), answer in zip(asked, outcome.answers, strict=False):
                    told[i][call] = answer
                ending = asked[len(outcome.answers) :][:1]
                asked[:] = [(i, call) for i, call in asked[len(outcome.answers) :] if i != ending[0][0]]
        return told

    async def differing(self, pools: Sequence[Mapping[Call, str]]) -> list[dict[Call, frozenset[int]]]:
        """Which of a subject's broken versions answer a call otherwise, or not at all."""
        asked = [(i, n) for i, subject in enumerate(self._subjects) for n in range(len(subject.broken[:_BROKEN]))]
        asked = [(i, n) for i, n in asked if pools[i]]
        jobs = [
            Job((), self._subjects[i].broken[n], _BROKEN_S, calls=tuple(pools[i]), call_s=_CALL_S) for i, n in asked
        ]
        found: list[dict[Call, frozenset[int]]] = [dict.fromkeys(pool, frozenset()) for pool in pools]
        for (i, n), outcome in zip(asked, await self._run(jobs, "asking the broken"), strict=True):
            answers = [*outcome.answers, *[""] * len(pools[i])]
            for (call, right), answer in zip(pools[i].items(), answers, strict=False):
                if answer != right:
                    found[i][call] |= {n}
        return found


def _groups(subjects: Sequence[Subject]) -> Iterator[list[int]]:
    """Indices of subjects that may share a process: the same files."""
    by_files: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for i, subject in enumerate(subjects):
        by_files.setdefault(tuple(sorted(subject.fixed.items())), []).append(i)
    for group in by_files.values():
        for start in range(0, len(group), _TOGETHER):
            yield group[start : start + _TOGETHER]
