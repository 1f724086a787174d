"""Runs many small test jobs of one repository in a few sandboxes.

Invariant: an outcome depends on its job and the tree alone, never on the jobs beside it, the number of workers or the
load of the machine (limits count CPU seconds; the wall clock only ends what sleeps). `envs.testing.driver` is the side
inside the sandbox.
"""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import py_compile
import secrets
import shlex
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from envs.runtime import TEST_ENV, image_of
from envs.task import RepoProfile
from envs.testing.driver.main import READY
from sandbox.protocol import Limits, Sandbox, SandboxBackend, SandboxError

Progress = Callable[[int, int, str], None]
"""Called as `(done, total, text)`."""

T = TypeVar("T")

DRIVER = Path(__file__).with_name("driver")
"""The package that runs inside the sandbox."""
_FOLDER = "/tmp/testrun"
_PACKAGE = "contextrl_driver"
_START = f"""\
import os, sys
own = [path for path in sys.path if os.path.abspath(path).startswith(os.getcwd())]
sys.path[:] = [{_FOLDER!r}, *(path for path in sys.path if path not in own)]
from {_PACKAGE}.main import main
del sys.path[0]
main(sys.argv[1], [path for path in own if path])  # only forks see the repository
"""
_PYCACHE = f"{_FOLDER}/pycache"
_SLACK_S = 30.0
_OUTPUT_KB = 64 << 10


def driver_files() -> dict[str, bytes]:
    """The driver's files by name."""
    return {path.name: path.read_bytes() for path in sorted(DRIVER.glob("*.py"))}


def silent(done: int, total: int, text: str) -> None:
    """The progress callback that says nothing."""


@dataclass(frozen=True)
class Job:
    """Tests to run on the tree with some files changed (None: deleted)."""

    targets: tuple[str, ...]
    """Names that unittest loads, or pytest node ids."""
    files: Mapping[str, str | None] = field(default_factory=dict)
    cpu_s: float = 600.0
    wall_s: float = 900.0
    memory_mb: int = 1024
    profile: bool = False
    """Note which functions of the sources each test calls."""
    reverse: bool = False
    record: tuple[str, ...] = ()
    """Functions (`path::qualname`) of whose calls the arguments are noted."""
    calls: tuple[tuple[str, str], ...] = ()
    """(function, arguments) that are called and answered, instead of any tests."""
    plan: Mapping[str, str] | None = None
    """Guard against forged results: test id -> what its runs are, `t` the test and `c` a canary (see
    `envs.testing.driver.guard`). None: the results of code that is trusted, as when a repository is measured."""
    call_s: float = 0.5
    """CPU seconds that each of the calls may take."""


@dataclass(frozen=True)
class Failure:
    """What a failing test said; `path` and `line` are the innermost line of a test file on the way there."""

    type: str
    message: str
    path: str = ""
    line: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a job did. `end` is `ok`, `cpu` or `wall` (a limit), or `crash`."""

    end: str
    reason: str = ""
    """What a `crash` said, where it did."""
    code: int = 0
    """Exit code of the test runner."""
    changed: tuple[str, ...] = ()
    """Parts of the runner that are not as they were before the tests (of a guarded job)."""
    unready: frozenset[str] = frozenset()
    """Tests that failed before or after their own body (under pytest)."""
    runs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Test id -> the statuses of all its runs, in their order."""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Test id -> passed, failed, skipped or xfail, in the order they ran."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    calls: Mapping[str, tuple[tuple[str, str, int], ...]] = field(default_factory=dict)
    """Test id -> (path, qualified name, calls from the test to it the shortest way) of the functions that it called."""
    recorded: tuple[tuple[str, str], ...] = ()
    """(function, arguments) of the different calls that the tests made; texts of `envs.testing.values`."""
    answers: tuple[str, ...] = ()
    """What the calls answered, in their order; fewer than they are where one of them ended the process."""

    @property
    def passed(self) -> frozenset[str]:
        """Ids of the tests that passed."""
        return frozenset(test for test, status in self.statuses.items() if status == "passed")


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


async def place_driver(sandbox: Sandbox) -> None:
    """Put the driver where `run_in` starts it. Raises `SandboxError`."""
    await sandbox.write(_shipped())


@cache
def _shipped() -> dict[str, bytes]:
    """The driver and its byte code, which counts where the sandbox has the Python that runs this."""
    files: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, data in driver_files().items():
            place = f"{_FOLDER}/{_PACKAGE}/{name}"
            beside = importlib.util.cache_from_source(place)
            apart = f"{_PYCACHE}{beside.replace('/__pycache__/', '/')}"
            target = f"{folder}/code"
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(str(DRIVER / name), target, dfile=place, doraise=True, invalidation_mode=mode)
            files |= {place: data, **dict.fromkeys((beside, apart), Path(target).read_bytes())}
    return files


async def run_in(sandbox: Sandbox, profile: RepoProfile, jobs: Sequence[Job], hash_seed: int = 0) -> list[Outcome]:
    """Jobs in one call of the driver; fewer outcomes than jobs where they took the driver with them.

    Raises `SandboxError`, also when the driver cannot be started.
    """
    word = secrets.token_hex(16)
    await sandbox.write({f"{_FOLDER}/jobs.json": _request(profile, jobs, word).encode()})
    own = {"PYTHONHASHSEED": str(hash_seed)}
    if all(job.plan is None for job in jobs):  # many runs: one run finds Python's own byte code only without it
        own["PYTHONPYCACHEPREFIX"] = _PYCACHE
    ran = await sandbox.run(
        ["python", "-B", "-s", "-c", _START, f"{_FOLDER}/jobs.json"],
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
    return [_outcome(line) for line in lines[: -2 if whole else -1]]


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


def _outcome(line: str) -> Outcome:
    data = json.loads(zlib.decompress(base64.b64decode(line)))
    tests = [record for record in data["tests"] if "id" in record]
    recorded = [call for record in data["tests"] for call in record.get("recorded", ())]
    runs: defaultdict[str, list[str]] = defaultdict(list)
    for test in tests:
        runs[test["id"]].append(test["status"])
    return Outcome(
        end=data["end"],
        reason=": ".join(data["failure"][key] for key in ("type", "message")) if data.get("failure") else "",
        code=data.get("code", 0),
        changed=tuple(data.get("changed", ())),
        unready=frozenset(test["id"] for test in tests if test.get("unready")),
        runs={test: tuple(statuses) for test, statuses in runs.items()},
        seconds=data["seconds"],
        cpu_seconds=data["cpu_seconds"],
        statuses={test["id"]: test["status"] for test in tests},
        failures={test["id"]: Failure(**test["failure"]) for test in tests if test["failure"]},
        times={test["id"]: test["seconds"] for test in tests},
        calls={
            test["id"]: tuple((path, name, away) for path, name, away in test["calls"])
            for test in tests
            if test["calls"]
        },
        recorded=tuple((function, arguments) for function, arguments in recorded),
        answers=tuple(record["answer"] for record in data["tests"] if "answer" in record),
    )
