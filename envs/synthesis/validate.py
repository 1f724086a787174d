"""Whether candidates are tasks, by their own tests or a few near them, on the repaired and the broken files.

Invariant: FAIL_TO_PASS passed in every run of the repaired files and in none of the broken ones; PASS_TO_PASS passed in
all of both. Repeated runs are other processes, with other hash seeds. Flaky tests are in neither. A candidate that
leaves one of the two empty, hangs, or crashes the interpreter is no task.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from envs.synthesis.candidate import Candidate
from envs.task import RepoProfile
from envs.testing.runner import Failure, Job, Outcome, Progress, run_jobs, silent
from sandbox.protocol import SandboxBackend

_BROKEN_CPU = 4.0
"""A broken version may take this many times the clean run's CPU seconds, and at least `_LEAST_CPU_S`."""
_LEAST_CPU_S = 0.5
_WALL = 10.0
_LEAST_WALL_S = 10.0


@dataclass(frozen=True)
class Validation:
    """What the runs of one candidate showed. `reason` is why it is no task, empty if it is one."""

    reason: str
    FAIL_TO_PASS: tuple[str, ...] = ()
    PASS_TO_PASS: tuple[str, ...] = ()
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """What the broken version's failing tests said."""
    flaky: tuple[str, ...] = ()
    """Tests that are in neither because their runs did not agree."""
    cpu_seconds: float = 0.0
    """What the runs cost."""

    @property
    def valid(self) -> bool:
        """Whether it is a task."""
        return not self.reason


async def validate(
    profile: RepoProfile,
    candidates: Sequence[Candidate],
    *,
    backend: SandboxBackend,
    workers: int = 2,
    repeats: int = 2,
    max_test_s: float = 1.0,
    on_progress: Progress = silent,
) -> list[Validation]:
    """One verdict per candidate, in order. `max_test_s`: CPU seconds that a candidate's clean tests may take.

    Raises `SandboxError` when sandboxes fail twice in a row.
    """
    runs = _Runs(profile, candidates, backend, workers, max_test_s, on_progress)
    await runs.once(range(len(candidates)))
    for hash_seed in range(1, repeats):
        await runs.once([i for i in range(len(candidates)) if runs.verdict(i).valid], hash_seed)
    return [runs.verdict(i) for i in range(len(candidates))]


class _Runs:
    """The clean and broken outcomes of every candidate so far."""

    def __init__(
        self,
        profile: RepoProfile,
        candidates: Sequence[Candidate],
        backend: SandboxBackend,
        workers: int,
        max_test_s: float,
        on_progress: Progress,
    ) -> None:
        self._profile, self._backend, self._workers = profile, backend, workers
        self._on_progress, self._max_test_s = on_progress, max_test_s
        self._trees: dict[str, str | None] = {}
        self._broken_jobs = [self._job(c, {**c.broken, **c.tests}) for c in candidates]
        self._clean_jobs = [self._job(c, {**c.broken, **c.fixed, **c.tests}) for c in candidates]
        self._keys = [_key(job) for job in self._clean_jobs]
        self._clean: dict[str, list[Outcome]] = {key: [] for key in self._keys}
        self._broken: list[list[Outcome]] = [[] for _ in candidates]

    def _job(self, candidate: Candidate, files: dict[str, str]) -> Job:
        """Only what differs from the tree is written."""
        changed = {path: text for path, text in files.items() if self._in_tree(path) != text}
        return Job(candidate.targets, changed, self._max_test_s, _WALL * self._max_test_s + _LEAST_WALL_S)

    def _in_tree(self, path: str) -> str | None:
        if path not in self._trees:
            file = self._profile.tree / path
            self._trees[path] = file.read_bytes().decode(errors="replace") if file.is_file() else None
        return self._trees[path]

    async def once(self, indices: Sequence[int], hash_seed: int = 0) -> None:
        """Run the clean versions, each distinct one once, then the broken versions of those that are fit."""
        clean = {self._keys[i]: self._clean_jobs[i] for i in indices}
        outcomes = await self._run(list(clean.values()), "running clean tests", hash_seed)
        for key, outcome in zip(clean, outcomes, strict=True):
            self._clean[key].append(outcome)
        fit = [i for i in indices if not self._unfit(i)]
        outcomes = await self._run([self._limited(i) for i in fit], "running broken tests", hash_seed)
        for i, outcome in zip(fit, outcomes, strict=True):
            self._broken[i].append(outcome)

    async def _run(self, jobs: Sequence[Job], text: str, hash_seed: int) -> list[Outcome]:
        batch = max(16, min(64, len(jobs) // (4 * self._workers)))
        options = {"backend": self._backend, "workers": self._workers, "batch": batch, "hash_seed": hash_seed}
        return await run_jobs(self._profile, jobs, **options, on_progress=self._on_progress, text=text)  # type: ignore[arg-type]

    def _limited(self, index: int) -> Job:
        clean, job = self._clean[self._keys[index]][0], self._broken_jobs[index]
        cpu = max(_LEAST_CPU_S, _BROKEN_CPU * clean.cpu_seconds)
        wall = max(_LEAST_WALL_S, _WALL * clean.seconds)
        return Job(job.targets, job.files, cpu, wall)

    def _unfit(self, index: int) -> str:
        clean = self._clean[self._keys[index]]
        if any(outcome.end in ("cpu", "wall") for outcome in clean):
            return "tests too slow"
        if any(outcome.end != "ok" or len(outcome.passed) < 2 for outcome in clean):
            return "too few tests pass when repaired"
        return ""

    def verdict(self, index: int) -> Validation:
        """What is known so far."""
        if reason := self._unfit(index):
            return Validation(reason)
        broken = self._broken[index]
        if any(outcome.end in ("cpu", "wall") for outcome in broken):
            return Validation("hangs")
        if any(outcome.end != "ok" for outcome in broken):
            return Validation("crashes")
        clean = frozenset.intersection(*(outcome.passed for outcome in self._clean[self._keys[index]]))
        trusted = [test for test in broken_order(broken[0], clean) if test not in self._profile.flaky]
        to_pass = tuple(test for test in trusted if not any(test in outcome.passed for outcome in broken))
        kept = tuple(test for test in trusted if all(test in outcome.passed for outcome in broken))
        reason = "no test fails" if not to_pass else "no test passes" if not kept else ""
        if reason:
            return Validation(reason)
        said = {test: failure for test, failure in broken[0].failures.items() if test in to_pass}
        flaky = tuple(sorted(set(trusted).difference(to_pass, kept)))
        return Validation("", to_pass, kept, said, flaky, sum(outcome.cpu_seconds for outcome in broken))


def broken_order(outcome: Outcome, clean: frozenset[str]) -> list[str]:
    """The tests that pass when repaired: as they ran, then those that did not run."""
    ran = [test for test in outcome.statuses if test in clean]
    return ran + sorted(clean.difference(ran))


def _key(job: Job) -> str:
    return hashlib.sha256(json.dumps([job.targets, job.files], sort_keys=True).encode()).hexdigest()
