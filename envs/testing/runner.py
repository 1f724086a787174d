"""Runs many small test jobs of one repository in a few sandboxes.

Invariant: an outcome depends on its job and the tree alone, never on the jobs beside it, the number of workers or the
load of the machine (limits count CPU seconds; the wall clock only ends what sleeps). `envs.testing.driver` is the side
inside the sandbox.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shlex
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from envs.runtime import TEST_ENV, image_of
from envs.task import RepoProfile
from envs.testing.driver.main import READY
from envs.testing.jobs import Failure, Job, Outcome, outcome_of
from envs.testing.shipping import FOLDER, PYCACHE, START, driver_files, place_driver
from sandbox.protocol import Limits, Sandbox, SandboxBackend, SandboxError

Progress = Callable[[int, int, str], None]
"""Called as `(done, total, text)`."""

T = TypeVar("T")

__all__ = [
    "Failure",
    "Job",
    "JobWorker",
    "Outcome",
    "Progress",
    "driver_files",
    "place_driver",
    "run_in",
    "run_jobs",
    "silent",
    "test_environment",
    "test_options",
    "together",
]

_SLACK_S = 30.0
_OUTPUT_KB = 64 << 10


def silent(done: int, total: int, text: str) -> None:
    """The progress callback that says nothing."""


async def run_jobs(
    profile: RepoProfile,
    jobs: Sequence[Job],
    *,
    backend: SandboxBackend,
    workers: int = 2,
    batch: int = 32,
    hash_seed: int = 0,
    on_progress: Progress = silent,
    text: str = "running tests",
) -> list[Outcome]:
    """Outcomes in the order of the jobs; `hash_seed` 0 is what agents and the grader run tests with.

    Raises `SandboxError` when sandboxes fail twice in a row.
    """
    outcomes: list[Outcome | None] = [None] * len(jobs)
    batches = iter([range(i, min(i + batch, len(jobs))) for i in range(0, len(jobs), batch)])

    def done() -> None:
        on_progress(sum(o is not None for o in outcomes), len(jobs), text)

    async def work() -> None:
        async with JobWorker(profile, backend) as worker:
            for indices in batches:
                ran = await worker.run([jobs[i] for i in indices], hash_seed)
                for index, outcome in zip(indices, ran, strict=True):
                    outcomes[index] = outcome
                done()

    done()
    await together(*(work() for _ in range(min(workers, -(-len(jobs) // batch)))))
    return [outcome for outcome in outcomes if outcome is not None]


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """All of it at once; the first that fails ends the others, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in work]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


class JobWorker:
    """One sandbox that runs batches; a failed sandbox is replaced once."""

    def __init__(self, profile: RepoProfile, backend: SandboxBackend) -> None:
        self._profile, self._backend = profile, backend
        self._sandbox: Sandbox | None = None

    async def __aenter__(self) -> JobWorker:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            await sandbox.stop()

    async def run(self, jobs: Sequence[Job], hash_seed: int = 0) -> list[Outcome]:
        """A batch in one call of the driver. What the driver did not get to is run again, one job a call.

        Raises `SandboxError` when sandboxes fail twice in a row.
        """
        try:
            outcomes = await self._once(jobs, hash_seed)
        except SandboxError:
            await self._stop()
            outcomes = await self._once(jobs, hash_seed)
        for job in jobs[len(outcomes) :]:
            await self._stop()  # the tests took the driver with them: nothing in there is to be trusted
            outcomes += (await self._once([job], hash_seed)) or [Outcome("crash")]
        return outcomes

    async def _once(self, jobs: Sequence[Job], hash_seed: int) -> list[Outcome]:
        if self._sandbox is None:
            memory = 512 + max(job.memory_mb for job in jobs)
            limits = Limits(memory_mb=memory, output_kb=_OUTPUT_KB, tmp_mb=512, file_mb=256)
            self._sandbox = await self._backend.start(image_of(self._profile), limits)
            await place_driver(self._sandbox)
        return await run_in(self._sandbox, self._profile, jobs, hash_seed)


async def run_in(sandbox: Sandbox, profile: RepoProfile, jobs: Sequence[Job], hash_seed: int = 0) -> list[Outcome]:
    """Jobs in one call of the driver; fewer outcomes than jobs where they took the driver with them.

    Raises `SandboxError`, also when the driver cannot be started.
    """
    word = secrets.token_hex(16)
    await sandbox.write({f"{FOLDER}/jobs.json": _request(profile, jobs, word).encode()})
    own = {"PYTHONHASHSEED": str(hash_seed)}
    if all(job.plan is None for job in jobs):  # many runs: one run finds Python's own byte code only without it
        own["PYTHONPYCACHEPREFIX"] = PYCACHE
    ran = await sandbox.run(
        ["python", "-B", "-s", "-c", START, f"{FOLDER}/jobs.json"],
        timeout_s=sum(job.wall_s for job in jobs) + _SLACK_S,
        env={**TEST_ENV, **test_environment(profile), **own},
    )
    ready, *lines = ran.stdout.split("\n")
    if ready != READY:
        raise SandboxError(f"the test driver did not start: {ran.output.strip()[-300:]}")
    if ran.dropped_bytes:
        raise SandboxError("the tests told more than a sandbox holds: run fewer at a time")
    whole = lines[-2:] == [word, ""] and ran.exit_code == 0
    if not whole and any(job.plan is not None for job in jobs):
        return []  # whoever ended the driver may have spoken in its place
    return [outcome_of(line) for line in lines[: -2 if whole else -1]]


def test_environment(profile: RepoProfile) -> dict[str, str]:
    """The variables that the test command sets before its program: `PYTHONPATH=src python ...`."""
    found = {}
    for word in shlex.split(profile.test_cmd):
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            break
        found[name] = value
    return found


def test_options(profile: RepoProfile) -> list[str]:
    """The options of the profile's own pytest command, without those that end it early or spread it over processes."""
    words = shlex.split(profile.test_cmd)
    at = next((i + 1 for i, word in enumerate(words) if word.rpartition("/")[2] in ("pytest", "py.test")), None)
    return [] if at is None else [word for word in words[at:] if word not in ("{tests}", "-x", "--exitfirst")]


def _request(profile: RepoProfile, jobs: Sequence[Job], word: str) -> str:
    return json.dumps(
        {
            "word": word,
            "once": any(job.plan is not None for job in jobs),
            "options": test_options(profile) if profile.log_parser == "pytest" else [],
            "runner": profile.log_parser,
            "source_files": profile.source_files,
            "test_files": profile.test_files,
            "jobs": [vars(job) for job in jobs],
        }
    )
