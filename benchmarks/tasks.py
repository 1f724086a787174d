"""Making task sets from real packages: validated bugs a minute, yield, and cost against the packages' own tests.

Run it: python -m benchmarks.tasks [--packages toolz==1.0.0 ...] [--bugs 60] [--backend local] [--json out.json]. A
package is plugged in from the index (kept in CONTEXTRL_HOME), then its tasks are made from nothing. In the same run the
first candidates are validated as one would without a coverage map: all tests, twice for every candidate, because only
what repeats is evidence. Costs are CPU
seconds inside the sandboxes, so that a busy machine distorts less; rates are by the wall clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from envs.repos import add_repository
from envs.synthesis.journal import Journal
from envs.synthesis.options import TaskOptions
from envs.synthesis.staged import all_targets
from envs.synthesis.supplies import own_bugs
from envs.synthesis.tasks import make_tasks
from envs.task import RepoProfile
from envs.testing.runner import Job, run_jobs
from sandbox import open_backend
from sandbox.protocol import SandboxBackend

PACKAGES = ("toolz==1.0.0", "jinja2==3.1.6", "more-itertools==10.8.0")
SAMPLE = 8
"""Candidates that are validated by all tests at once."""


@dataclass(frozen=True)
class Row:
    """What one package gave."""

    package: str
    tests: int
    suite_s: float
    """Wall seconds of one run of all tests, on this machine as busy as it was."""
    suite_cpu_s: float
    bugs: int
    per_minute: float
    yielded: float
    """Valid candidates of those that were tried."""
    suites_per_bug: float
    """CPU seconds of validation for each valid bug, in runs of all tests."""
    cpu_ratio: float
    """CPU seconds of the baseline, all tests twice for each candidate, over ours."""
    wall_ratio: float
    several: int
    """Functions with two bugs or more."""
    hidden: int
    """Tasks with hidden calls."""
    funnel: dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", nargs="+", default=list(PACKAGES), help="NAME==VERSION, from the index")
    parser.add_argument("--bugs", type=int, default=60)
    parser.add_argument("--per-function", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2, help="sandboxes at a time")
    parser.add_argument("--backend", default="local", choices=["local", "docker", "auto"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    options = TaskOptions(bugs=given.bugs, per_function=given.per_function)
    rows = asyncio.run(measure(given.packages, options, given.workers, given.backend))
    if given.json:
        told = {"bugs": given.bugs, "workers": given.workers, "backend": given.backend}
        given.json.write_text(json.dumps({**told, "rows": [asdict(row) for row in rows]}, indent=2))


async def measure(packages: list[str], options: TaskOptions, workers: int, backend: str) -> list[Row]:
    """One row for each package, printed as it comes."""
    print(
        f"{'package':<24} {'tests':>5} {'suite s':>7} {'bugs':>5} {'bugs/min':>8} {'yield':>6} "
        f"{'suites/bug':>10} {'baseline CPU':>12} {'wall':>6} {'>=2 bugs':>8} {'hidden':>6}"
    )
    rows = []
    sandboxes = await open_backend(backend)
    try:
        for package in packages:
            profile = await add_repository(f"pypi:{package}", backend=sandboxes, workers=workers)
            row = await made(package, profile, options, sandboxes, workers)
            rows.append(row)
            print(
                f"{row.package:<24} {row.tests:>5} {row.suite_s:>7.1f} {row.bugs:>5} {row.per_minute:>8.1f} "
                f"{row.yielded:>6.0%} {row.suites_per_bug:>10.2f} {row.cpu_ratio:>11.1f}x {row.wall_ratio:>5.1f}x "
                f"{row.several:>8} {row.hidden:>6}",
                flush=True,
            )
    finally:
        await sandboxes.close()
    return rows


async def made(package: str, profile: RepoProfile, options: TaskOptions, backend: SandboxBackend, workers: int) -> Row:
    """Make its tasks, then validate some of the same candidates the long way."""
    funnel: Counter[str] = Counter()
    journal = Journal()
    began = time.perf_counter()
    tasks = await make_tasks(profile, options, backend=backend, workers=workers, funnel=funnel, journal=journal)
    wall_s = time.perf_counter() - began
    baseline, tried = journal.baseline, len(journal.verdicts)
    if baseline is None or not tasks:
        raise ValueError(f"no bug of {package} is valid: {dict(funnel)}")
    cpu_s = sum(verdict.cpu_seconds for verdict in journal.verdicts.values())

    sample = await own_bugs(profile, options).next(SAMPLE)
    limit = 4 * baseline.cpu_seconds
    jobs = [Job(all_targets(profile), candidate.broken, limit, 10 * limit) for candidate in sample]
    began = time.perf_counter()
    ran = [
        outcome
        for seed in (0, 1)
        for outcome in await run_jobs(profile, jobs, backend=backend, workers=workers, batch=1, hash_seed=seed)
    ]
    long_wall_s = (time.perf_counter() - began) / len(jobs)
    long_cpu_s = sum(outcome.cpu_seconds for outcome in ran) / len(jobs)
    of_function = Counter(task.functions[0] for task in tasks)
    return Row(
        package=package,
        tests=len(baseline.passing),
        suite_s=baseline.seconds,
        suite_cpu_s=baseline.cpu_seconds,
        bugs=len(tasks),
        per_minute=60 * len(tasks) / wall_s,
        yielded=funnel["valid"] / tried,
        suites_per_bug=cpu_s / funnel["valid"] / baseline.cpu_seconds,
        cpu_ratio=long_cpu_s / (cpu_s / tried),
        wall_ratio=long_wall_s / (wall_s / tried),
        several=sum(count > 1 for count in of_function.values()),
        hidden=sum(bool(task.hidden) for task in tasks),
        funnel=dict(funnel),
    )


if __name__ == "__main__":
    main()
