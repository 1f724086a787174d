"""Learns about a repository by running its tests: what passes, what is flaky, what calls what, how long it takes.

Invariant: a test is trusted only if it gave the same status in both runs, in order under a profiler and in
reverse with another hash seed. The network is closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from envs.repos.source import RepoError
from envs.task import RepoProfile
from envs.testing.runner import Job, Outcome, Progress, run_jobs, silent, together
from sandbox.protocol import SandboxBackend


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


async def measure(
    profile: RepoProfile, backend: SandboxBackend, workers: int = 2, on_progress: Progress = silent
) -> Measured:
    """Run every test file twice (see the module's invariant). Raises `RepoError`, `SandboxError`."""
    units = [(target(profile, path),) for path in profile.test_files if (profile.tree / path).read_bytes().strip()]
    done = [0, 0]

    async def run(which: int, jobs: list[Job]) -> list[Outcome]:
        def progress(now: int, total: int, text: str) -> None:
            done[which] = now
            on_progress(sum(done), 2 * total, text)

        return await run_jobs(
            profile,
            jobs,
            backend=backend,
            workers=max(1, workers // 2),
            batch=-(-len(jobs) // 8),
            hash_seed=which,
            on_progress=progress,
        )

    watched, backwards = await together(
        run(0, [Job(unit, profile=True) for unit in units]), run(1, [Job(unit, reverse=True) for unit in units])
    )
    seconds = sum(outcome.seconds for outcome in backwards)
    statuses = [_merged(watched), _merged(backwards)]
    known = {test: None for run in statuses for test in run}
    flaky = tuple(sorted(test for test in known if len({run.get(test) for run in statuses}) > 1))
    passing = tuple(test for test in known if test not in flaky and statuses[1].get(test) == "passed")
    times = {test: s for outcome in backwards for test, s in outcome.times.items() if test in passing}
    if not passing:
        raise RepoError(_why_nothing_passes([*watched, *backwards], known, flaky))
    covers = _covers(watched, frozenset(passing))
    return Measured(passing, flaky, covers, _distances(watched, covers), times, seconds)


def target(profile: RepoProfile, path: str) -> str:
    """A test file as its runner names it: `tests.test_a` for unittest, the path itself for pytest."""
    if profile.log_parser == "pytest":
        return path
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


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


def _why_nothing_passes(outcomes: Sequence[Outcome], known: dict[str, None], flaky: tuple[str, ...]) -> str:
    if not known:
        ends = {outcome.end for outcome in outcomes} - {"ok"}
        why = "ran into a limit or ended early" if ends else "held no test that the runner collects"
        return f"its test files {why}: say how its tests run (option test) or what they need (option install)"
    if len(flaky) == len(known):
        return f"all of its {len(known)} tests are flaky: none gave the same result twice"
    first = next((f for o in outcomes for f in o.failures.values()), None)
    said = " ".join(f"{first.type}: {first.message}".split())[-200:] if first else "they were skipped"
    return f"none of its {len(known)} tests passes; the first says {said!r}: say what they need (option install)"
