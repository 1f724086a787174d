"""Learns about a repository by running its tests: what passes, what is flaky, what calls what, how long it takes.

Invariant: a test is trusted only if it gave the same status in every run: in order under a profiler, in reverse with
another hash seed, and in order with a third. The network is closed.
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from envs.repos.layout import has_tests, parse
from envs.repos.pytest_config import PytestConfig, pytest_config
from envs.repos.source import RepoError
from envs.task import RepoProfile
from envs.testing.runner import Job, Outcome, Progress, run_jobs, silent, together
from sandbox.protocol import SandboxBackend

RUNS = 3
SLOW_S = 600.0
"""Where one run takes longer than this, two runs must do."""
_SAID = 160
"""Characters that are quoted of what a test said."""
FILE_CPU_S, FILE_WALL_S = 180.0, 600.0
"""A test file that takes longer is not used: what it says of a bug would come too late."""


@dataclass(frozen=True)
class Measured:
    """What the runs showed. Ids are those that unittest or pytest print."""

    passing: tuple[str, ...]
    flaky: tuple[str, ...]
    covers: dict[str, tuple[str, ...]]
    """`path::function` -> the passing tests that call it, those that call the fewest functions first."""
    distances: dict[str, tuple[int, ...]]
    """Calls from each of those tests to the function, the shortest way."""
    times: dict[str, float]
    """Seconds that each passing test takes."""
    seconds: float
    """Wall time of one whole run."""
    failing: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    reason: str = ""
    """What most of the failing tests say, and how many of them."""
    runs: int = 2
    slow: tuple[str, ...] = ()
    """Test files that ran into a limit in one of the runs; none of their tests is known."""


async def measure(
    profile: RepoProfile,
    backend: SandboxBackend,
    workers: int = 2,
    on_progress: Progress = silent,
    *,
    runs: int = RUNS,
    watched: Sequence[Outcome] | None = None,
) -> Measured:
    """Run every test file so many times (see the module's invariant). Raises `RepoError`, `SandboxError`.

    `watched` is the first run, where it was made already (`look`).
    """
    units, slow = test_units(profile), []
    if watched is not None:
        slow = [unit for unit, outcome in zip(units, watched, strict=True) if _limited(outcome)]
        units = [unit for unit in units if unit not in slow]
        watched = [outcome for outcome in watched if not _limited(outcome)]
        runs = 2 if sum(outcome.seconds for outcome in watched) > SLOW_S else runs
    left = [which for which in range(runs) if which or watched is None]
    done = dict.fromkeys(left, 0)
    began = time.monotonic()

    async def run(which: int) -> list[Outcome]:
        jobs = [_job(unit, which) for unit in units]

        def progress(now: int, total: int, text: str) -> None:
            done[which] = now
            on_progress(sum(done.values()), len(left) * total, pace(sum(done.values()), len(left) * total, began))

        return await _run(profile, jobs, backend, max(1, workers // len(left)), which, progress)

    fresh = await together(*(run(which) for which in left))
    ran = [*([] if watched is None else [watched]), *fresh]
    limited = [any(map(_limited, outcomes)) for outcomes in zip(*ran, strict=True)]
    slow += [unit for unit, cut in zip(units, limited, strict=True) if cut]
    whole = [[outcome for outcome, cut in zip(run, limited, strict=True) if not cut] for run in ran]
    return _measured(whole, runs, tuple(sorted(name for unit in slow for name in unit)))


def _job(unit: tuple[str, ...], which: int) -> Job:
    """A test file in the first, second or third run."""
    return Job(unit, cpu_s=FILE_CPU_S, wall_s=FILE_WALL_S, profile=which == 0, reverse=which == 1)


def _limited(outcome: Outcome) -> bool:
    return outcome.end in {"cpu", "wall"}


async def look(
    profile: RepoProfile,
    backend: SandboxBackend,
    workers: int = 2,
    on_progress: Progress = silent,
    units: Sequence[tuple[str, ...]] | None = None,
) -> list[Outcome]:
    """The first run, in order under the profiler; of these units, or of all."""
    jobs = [_job(unit, 0) for unit in (test_units(profile) if units is None else units)]
    began = time.monotonic()

    def progress(now: int, total: int, text: str) -> None:
        on_progress(now, total, pace(now, total, began))

    return await _run(profile, jobs, backend, workers, 0, progress)


async def _run(
    profile: RepoProfile, jobs: list[Job], backend: SandboxBackend, workers: int, seed: int, progress: Progress
) -> list[Outcome]:
    batch = max(1, -(-len(jobs) // 8))
    return await run_jobs(
        profile, jobs, backend=backend, workers=workers, batch=batch, hash_seed=seed, on_progress=progress
    )


def pace(done: int, total: int, began: float) -> str:
    """How far, how fast, and how long it will still take."""
    seconds = time.monotonic() - began
    if done <= 0 or seconds < 1:
        return f"{max(done, 0)} of {total} test files"
    return f"{done} of {total} test files, {done / seconds:.1f}/s, {(total - done) * seconds / done:.0f} s left"


def test_units(profile: RepoProfile) -> list[tuple[str, ...]]:
    """What one job runs: a test file that is not empty, and that pytest would find by itself."""
    config = pytest_config(profile.tree) if profile.log_parser == "pytest" else None
    found = [path for path in profile.test_files if (profile.tree / path).read_bytes().strip()]
    return [(target(profile, path),) for path in found if config is None or _is_run(profile.tree, path, config)]


def _is_run(tree: Path, path: str, config: PytestConfig) -> bool:
    """By its name, or because it holds tests; helpers beside them (`conftest.py`) are no tests."""
    if config.is_file(PurePosixPath(path).name):
        return True
    module = parse(tree / path)
    return module is not None and has_tests(module, config)


test_units.__test__ = False  # type: ignore[attr-defined]


def target(profile: RepoProfile, path: str) -> str:
    """A test file as its runner names it: `tests.test_a` for unittest, the path itself for pytest."""
    if profile.log_parser == "pytest":
        return path
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _measured(outcomes: Sequence[Sequence[Outcome]], runs: int, slow: tuple[str, ...]) -> Measured:
    watched, backwards = outcomes[0], outcomes[1]
    statuses = [_merged(run) for run in outcomes]
    known = {test: None for run in statuses for test in run}
    flaky = tuple(sorted(test for test in known if len({run.get(test) for run in statuses}) > 1))
    steady = {test: statuses[1][test] for test in known if test in statuses[1] and test not in set(flaky)}
    passing = tuple(test for test, status in steady.items() if status == "passed")
    if not passing:
        raise RepoError(_why_nothing_passes([o for run in outcomes for o in run], known, flaky, slow))
    covers = _covers(watched, frozenset(passing))
    chosen = frozenset(passing)
    failing = tuple(test for test, status in steady.items() if status == "failed")
    return Measured(
        passing,
        flaky,
        covers,
        _distances(watched, covers),
        {test: s for outcome in backwards for test, s in outcome.times.items() if test in chosen},
        sum(outcome.seconds for outcome in backwards),
        failing,
        tuple(test for test, status in steady.items() if status not in {"passed", "failed"}),
        commonest_reason(backwards, frozenset(failing)),
        runs,
        slow,
    )


def commonest_reason(outcomes: Sequence[Outcome], failing: frozenset[str]) -> str:
    """What most failing tests say."""
    said = Counter(
        _short(f"{failure.type}: {failure.message}")
        for outcome in outcomes
        for test, failure in outcome.failures.items()
        if test in failing
    )
    return f"{said.most_common(1)[0][1]} say {said.most_common(1)[0][0]!r}" if said else ""


def _short(said: str) -> str:
    """One line, its end where it is long: there it says most. Addresses are other ones in every run."""
    line = re.sub(r" at 0x[0-9a-f]+", "", " ".join(said.split()))
    return line if len(line) <= _SAID else f"...{line[-_SAID:]}"


def _merged(outcomes: Sequence[Outcome]) -> dict[str, str]:
    return {test: status for outcome in outcomes for test, status in outcome.statuses.items()}


def _covers(outcomes: Sequence[Outcome], passing: frozenset[str]) -> dict[str, tuple[str, ...]]:
    calls = {test: called for o in outcomes for test, called in o.calls.items() if test in passing}
    found: defaultdict[str, list[str]] = defaultdict(list)
    for test, called in calls.items():
        for path, name, _ in called:
            found[f"{path}::{name}"].append(test)
    return {key: tuple(sorted(tests, key=lambda t: (len(calls[t]), t))) for key, tests in sorted(found.items())}


def _distances(outcomes: Sequence[Outcome], covers: dict[str, tuple[str, ...]]) -> dict[str, tuple[int, ...]]:
    away = {
        (f"{path}::{name}", test): steps
        for outcome in outcomes
        for test, called in outcome.calls.items()
        for path, name, steps in called
    }
    return {key: tuple(away[key, test] for test in tests) for key, tests in covers.items()}


def _why_nothing_passes(
    outcomes: Sequence[Outcome], known: Mapping[str, None], flaky: tuple[str, ...], slow: tuple[str, ...]
) -> str:
    if not known:
        early = [_short(outcome.reason) for outcome in outcomes if outcome.end != "ok"]
        why = f"took longer than {FILE_CPU_S:.0f} CPU seconds" if slow else "held no test that the runner collects"
        why = f"ended early ({next(filter(None, early), 'without a word')})" if early else why
        return f"its test files {why}: say how its tests run (option test) or what they need (option install)"
    if len(flaky) == len(known):
        return f"all of its {len(known)} tests are flaky: none gave the same result twice"
    first = next((f for o in outcomes for f in o.failures.values()), None)
    said = _short(f"{first.type}: {first.message}") if first else "they were skipped"
    return f"none of its {len(known)} tests passes; the first says {said!r}: say what they need (option install)"
