"""Whether bugs are tasks by all tests of a repository: a few tests first, all of them once for what survives.

Invariant: a FAIL_TO_PASS test passed in every run of all tests on the sources as they are, and failed in at least two
runs of the bug and in every one that it was in; a PASS_TO_PASS test passed in every run of both. The full runs are one
process with all test files, as graders run them. A test whose runs disagree is in neither, and is listed.

First run the tests that reach the function (the coverage map knows them), with hash seed 0; then, once for each bug
that they notice, all tests, with another. A test that failed for the first time there is run once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from envs.repos.measure import target
from envs.synthesis.candidate import Candidate
from envs.synthesis.units import case_of, file_of
from envs.synthesis.validate import Validation
from envs.task import RepoProfile
from envs.testing.runner import Failure, Job, JobWorker, Outcome, run_jobs, together
from sandbox.protocol import SandboxBackend

OnVerdict = Callable[[Candidate, Validation], None]

_SLOWER = 4.0
"""A bug's tests may take this many times the CPU seconds that they take without it, and at least `_LEAST_CPU_S`."""
_LEAST_CPU_S = 1.0
_WALL = 10.0
_LEAST_WALL_S = 15.0
_GROUP_S = 8.0
"""CPU seconds of full runs that one call of the driver should hold: what an interruption may lose."""
_MOST_IN_GROUP = 16
_MOST_NAMED = 100
"""More tests than these are run by their files: a command line has an end."""


@dataclass(frozen=True)
class Baseline:
    """What all tests do, in one process, on the sources as they are."""

    passing: tuple[str, ...]
    """In the order in which they ran."""
    flaky: tuple[str, ...]
    """Those that did not end the same way in each run; the profile's own are among them."""
    cpu_seconds: float
    seconds: float
    outside_s: float
    """CPU seconds of a run that are spent outside tests: imports and collection."""
    times: dict[str, float] = field(default_factory=dict)


async def measure_baseline(profile: RepoProfile, backend: SandboxBackend, workers: int = 2) -> Baseline:
    """Run all tests twice, with different hash seeds. Raises `ValueError` where that is no ground for tasks."""
    job = Job(all_targets(profile))
    runs = await together(
        *(run_jobs(profile, [job], backend=backend, workers=workers, hash_seed=seed) for seed in (0, 1))
    )
    first, second = runs[0][0], runs[1][0]
    if first.end != "ok" or second.end != "ok":
        raise ValueError(
            f"all tests of {profile.name} in one process end with {first.end!r} and {second.end!r} instead of 'ok': "
            "validate its bugs with the tests near them (suite near)"
        )
    known = dict.fromkeys([*first.statuses, *second.statuses])
    unsteady = {test for test in known if first.statuses.get(test) != second.statuses.get(test)}
    flaky = tuple(sorted(unsteady | set(profile.flaky)))
    passing = tuple(test for test in known if test in first.passed and test in second.passed and test not in flaky)
    if len(passing) < 2:
        raise ValueError(
            f"{len(passing)} tests of {profile.name} pass when all run in one process: validate its bugs with the "
            "tests near them (suite near)"
        )
    cpu = max(first.cpu_seconds, second.cpu_seconds)
    times = {test: max(first.times[test], second.times[test]) for test in passing}
    outside = max(0.0, min(run.cpu_seconds - sum(run.times.values()) for run in (first, second)))
    return Baseline(passing, flaky, cpu, max(first.seconds, second.seconds), outside, times)


def all_targets(profile: RepoProfile) -> tuple[str, ...]:
    """Every test file that holds something, as the runner names it."""
    files = [path for path in profile.test_files if (profile.tree / path).read_bytes().strip()]
    return tuple(target(profile, path) for path in files)


async def validate_staged(
    profile: RepoProfile,
    candidates: Sequence[Candidate],
    baseline: Baseline,
    *,
    backend: SandboxBackend,
    workers: int = 2,
    on_verdict: OnVerdict,
) -> None:
    """Tell the verdict on each candidate as soon as it is known, in no order. Its targets are what runs first.

    Raises `SandboxError` when sandboxes fail twice in a row.
    """
    size = max(1, min(_MOST_IN_GROUP, int(_GROUP_S / baseline.cpu_seconds), -(-len(candidates) // workers)))
    groups = iter([candidates[i : i + size] for i in range(0, len(candidates), size)])

    async def work() -> None:
        async with JobWorker(profile, backend) as worker:
            for group in groups:
                trials = [_Trial(profile, candidate, baseline) for candidate in group]
                await _try(trials, worker)
                for trial in trials:
                    on_verdict(trial.candidate, trial.verdict())

    await together(*(work() for _ in range(min(workers, -(-len(candidates) // size)))))


async def _try(trials: Sequence[_Trial], worker: JobWorker) -> None:
    """The three stages, each for those that are still tasks."""
    stages = [
        (_Trial.first_job, _Trial.see_first),
        (_Trial.full_job, _Trial.see_full),
        (_Trial.again, _Trial.see_again),
    ]
    for hash_seed, (job_of, see) in enumerate(stages):
        wanted = [(trial, job) for trial in trials if not trial.reason and (job := job_of(trial)) is not None]
        if wanted:
            outcomes = await worker.run([job for _, job in wanted], hash_seed)
            for (trial, _), outcome in zip(wanted, outcomes, strict=True):
                trial.note(outcome)
                if not trial.reason:
                    see(trial, outcome)


class _Trial:
    """One candidate on its way through the stages. `reason` is why it is no task, as far as is known."""

    def __init__(self, profile: RepoProfile, candidate: Candidate, baseline: Baseline) -> None:
        self.candidate, self.reason = candidate, ""
        self._profile, self._baseline = profile, baseline
        self._files = {path: text for path, text in candidate.broken.items() if _in_tree(profile, path) != text}
        self._fails: tuple[str, ...] = ()
        self._passes: tuple[str, ...] = ()
        self._seen_first: set[str] = set()
        self._failed_first: set[str] = set()
        self._once: list[str] = []
        self._flaky: list[str] = []
        self._failures: dict[str, Failure] = {}
        self._cpu_s = 0.0

    def _job(self, targets: tuple[str, ...], tests: Sequence[str]) -> Job:
        cpu = self._baseline.outside_s + sum(self._baseline.times[test] for test in tests)
        return Job(targets, self._files, max(_LEAST_CPU_S, _SLOWER * cpu), max(_LEAST_WALL_S, _WALL * cpu))

    def note(self, outcome: Outcome) -> None:
        """What any run shows: how it ended, what it cost, what failing tests said (the earliest run's word counts)."""
        self._cpu_s += outcome.cpu_seconds
        self._failures = {**outcome.failures, **self._failures}
        if outcome.end != "ok":
            self.reason = "hangs" if outcome.end in ("cpu", "wall") else "crashes"

    def first_job(self) -> Job:
        """The tests that reach the function."""
        cases = set(self.candidate.targets)
        near = [test for test in self._baseline.passing if case_of(test) in cases]
        self._seen_first = set(near)
        return self._job(self.candidate.targets, near)

    def see_first(self, outcome: Outcome) -> None:
        """A bug that none of them notices goes no further."""
        self._failed_first = self._seen_first - outcome.passed
        self.reason = "" if self._failed_first else "no test fails"

    def full_job(self) -> Job:
        """All tests."""
        return self._job(all_targets(self._profile), self._baseline.passing)

    def see_full(self, outcome: Outcome) -> None:
        """What the tests of both runs say, and which are to be run once more."""
        failed = {test for test in self._baseline.passing if test not in outcome.passed}
        unsteady = self._seen_first & (failed ^ self._failed_first)
        self._once = [test for test in self._baseline.passing if test in failed - self._seen_first]
        self._flaky = sorted(unsteady)
        self._fails = tuple(test for test in self._baseline.passing if test in failed & self._failed_first)
        self._passes = tuple(t for t in self._baseline.passing if t not in failed and t not in unsteady)
        if not self._passes:
            self.reason = "no test passes"

    def again(self) -> Job | None:
        """The tests that have failed once and were in one run only."""
        cases = tuple(dict.fromkeys(case_of(test) for test in self._once))
        if len(cases) > _MOST_NAMED:
            cases = tuple(dict.fromkeys(file_of(case, self._profile) for case in cases))
        return self._job(cases, self._once) if cases else None

    def see_again(self, outcome: Outcome) -> None:
        """Those that fail again are evidence."""
        failed = set(self._once) - outcome.passed
        self._flaky = sorted({*self._flaky, *self._once} - failed)
        fails = failed.union(self._fails)
        self._fails = tuple(test for test in self._baseline.passing if test in fails)

    def verdict(self) -> Validation:
        """What the runs have shown."""
        if self.reason or not self._fails:
            return Validation(self.reason or "no test fails twice", cpu_seconds=self._cpu_s)
        said = {test: self._failures[test] for test in self._fails if test in self._failures}
        return Validation("", self._fails, self._passes, said, tuple(self._flaky), self._cpu_s)


def _in_tree(profile: RepoProfile, path: str) -> str | None:
    file = profile.tree / path
    return file.read_bytes().decode(errors="replace") if file.is_file() else None
