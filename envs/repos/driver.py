"""Runs chosen tests of the repository in the current directory, inside a sandbox. Standard library only.

Invariant: every job runs in a fork of a process that has never imported anything of the repository, on the tree as it
lies plus the job's own files, which are taken away again afterwards: no job sees anything of another.

    python -B driver.py JOBS RESULTS

JOBS is a JSON object `{runner, source_files, test_files, jobs: [{files, targets, cpu_s, wall_s, memory_mb, profile,
reverse}]}`; RESULTS gets one JSON line per job, in order: `{end, seconds, cpu_seconds, tests: [...]}`. The other side
is `envs.repos.runner`. Unchanged modules come from byte code that is checked against the hash of its source, so a file
that a job replaced is always compiled anew.
"""

# ruff: noqa: D102, D103  (the methods are unittest's and pytest's, the rest is read from top to bottom)

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import py_compile
import re
import resource
import select
import signal
import sys
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

Emit = Callable[[dict[str, Any]], None]

IMPORT = re.compile(r"^\s*(?:from|import) ([\w.]+)", re.MULTILINE)
MESSAGE_CHARS = 600
PROFILE_S = 0.3
NEVER_PRELOAD = {"antigravity", "this", "__main__", "idlelib", "tkinter", "turtle", "turtledemo"}


def preload(paths: list[str]) -> None:
    """Import the standard-library modules that the repository uses, so that the forks find them ready."""
    here = {entry.name.split(".")[0] for entry in Path().iterdir()}
    allowed = sys.stdlib_module_names - NEVER_PRELOAD - here
    wanted = set()
    for path in paths:
        with contextlib.suppress(OSError):
            wanted.update(IMPORT.findall(Path(path).read_text(errors="replace")))
    for name in sorted(name for name in wanted if name.split(".")[0] in allowed):
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def compile_once(paths: list[str]) -> None:
    """Byte code for the unchanged files, valid only for exactly this source."""
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    for path in paths:
        source = Path(path).absolute()
        target = importlib.util.cache_from_source(str(source))
        if not os.path.exists(target):
            with contextlib.suppress(OSError, ValueError):
                py_compile.compile(str(source), cfile=target, doraise=False, quiet=2, invalidation_mode=mode)


@contextlib.contextmanager
def placed(files: dict[str, str | None]) -> Iterator[None]:
    """The job's files in the tree while it runs; None deletes a file."""
    before = {name: Path(name).read_bytes() if Path(name).is_file() else None for name in files}
    try:
        for name, text in files.items():
            put(name, None if text is None else text.encode())
        yield
    finally:
        for name, data in before.items():
            put(name, data)


def put(name: str, data: bytes | None) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)  # a new file: some file systems wait for the disk when one is cut short and written again
    if data is not None:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(data)


def describe(error: BaseException, trace: TracebackType | None, tests: frozenset[str]) -> dict[str, Any]:
    """What a failing test said, and the innermost line of a test file on the way there."""
    try:
        message = str(error)
    except Exception:
        message = ""
    found: dict[str, Any] = {"type": type(error).__name__, "message": message[:MESSAGE_CHARS], "path": "", "line": 0}
    while trace is not None:
        path = os.path.relpath(trace.tb_frame.f_code.co_filename)
        if path in tests:
            found.update(path=path, line=trace.tb_lineno)
        trace = trace.tb_next
    return found


class Calls:
    """Which functions of the sources a test calls, by `sys.setprofile`.

    Watching a call costs more than most calls: after `PROFILE_S` CPU seconds the rest of the test runs unwatched.
    """

    def __init__(self, sources: frozenset[str]) -> None:
        self._sources = {os.path.abspath(path): path for path in sources}
        self._seen: dict[int, CodeType] = {}

    def start(self) -> None:
        self._seen = {}
        signal.signal(signal.SIGVTALRM, lambda *_: sys.setprofile(None))
        signal.setitimer(signal.ITIMER_VIRTUAL, PROFILE_S)
        sys.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            code = frame.f_code  # by id: hashing a code object hashes its contents
            self._seen[id(code)] = code

    def stop(self) -> list[tuple[str, str]]:
        sys.setprofile(None)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        found = {
            (self._sources[code.co_filename], code.co_qualname.split(".<locals>")[0])
            for code in self._seen.values()
            if code.co_filename in self._sources
        }
        return sorted(found)


class Recorder(unittest.TestResult):
    """Emits one record per test as soon as it has ended."""

    def __init__(self, emit: Emit, calls: Calls | None, tests: frozenset[str]) -> None:
        super().__init__()
        self._emit, self._calls, self._tests = emit, calls, tests
        self._status, self._failure, self._began = "passed", None, 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._status, self._failure, self._began = "passed", None, time.perf_counter()
        if self._calls:
            self._calls.start()

    def stopTest(self, test: unittest.TestCase) -> None:
        calls = self._calls.stop() if self._calls else []
        seconds = time.perf_counter() - self._began
        record = {"id": test.id(), "status": self._status, "seconds": seconds, "calls": calls}
        self._emit({**record, "failure": self._failure})
        super().stopTest(test)

    def _fail(self, test: unittest.TestCase, err: Any) -> None:
        failure = describe(err[1], err[2], self._tests)
        if not isinstance(test, unittest.TestCase):  # setUpClass or setUpModule: no test was started
            self._emit({"id": test.id(), "status": "failed", "seconds": 0.0, "calls": [], "failure": failure})
        elif self._status != "failed":
            self._status, self._failure = "failed", failure  # type: ignore[assignment]

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self._fail(test, err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._fail(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self._fail(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._status = "skipped" if self._status == "passed" else self._status

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._status = "xfail"

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._status = "failed"


def flatten(suite: Any) -> Iterator[Any]:
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        elif type(item).__module__ != "doctest":  # a docstring's examples are no tests of the test files
            yield item


def run_unittest(job: dict[str, Any], emit: Emit, calls: Calls | None, tests: frozenset[str]) -> None:
    names = [name.removesuffix(".py").replace("/", ".") if name in tests else name for name in job["targets"]]
    chosen = list(flatten(unittest.defaultTestLoader.loadTestsFromNames(names)))
    if job.get("reverse"):
        chosen.reverse()
    unittest.TestSuite(chosen).run(Recorder(emit, calls, tests))


class PytestRecorder:
    """The same records from pytest's hooks."""

    def __init__(self, emit: Emit, calls: Calls | None, tests: frozenset[str], reverse: bool) -> None:
        self._emit, self._calls, self._tests, self._reverse = emit, calls, tests, reverse
        self._record: dict[str, Any] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self._reverse:
            items.reverse()

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            failure = {"type": "CollectError", "message": str(report.longrepr)[-MESSAGE_CHARS:], "path": "", "line": 0}
            self._emit({"id": report.nodeid, "status": "failed", "seconds": 0.0, "calls": [], "failure": failure})

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._record = {"id": nodeid, "status": "passed", "seconds": 0.0, "calls": [], "failure": None}
        if self._calls:
            self._calls.start()

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        if self._record and call.excinfo is not None and not self._record["failure"]:
            self._record["failure"] = describe(call.excinfo.value, call.excinfo.tb, self._tests)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._record["seconds"] += report.duration
        if report.failed:
            self._record["status"] = "failed"
        elif report.skipped and self._record["status"] == "passed":
            self._record["status"] = "xfail" if hasattr(report, "wasxfail") else "skipped"

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        if self._calls:
            self._record["calls"] = self._calls.stop()
        self._emit(self._record)


def run_pytest(job: dict[str, Any], emit: Emit, calls: Calls | None, tests: frozenset[str]) -> None:
    pytest = importlib.import_module("pytest")
    recorder = PytestRecorder(emit, calls, tests, bool(job.get("reverse")))
    pytest.main(["-q", "-o", "addopts=", "-p", "no:cacheprovider", *job["targets"]], plugins=[recorder])


def child(job: dict[str, Any], config: dict[str, Any], pipe: int) -> None:
    """The fork: limits first, then the repository. Never returns."""
    os.setsid()
    limit = int(job["memory_mb"]) << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process: code under test cannot catch it
    signal.setitimer(signal.ITIMER_PROF, job["cpu_s"])
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)

    def emit(record: dict[str, Any]) -> None:
        os.write(pipe, json.dumps(record).encode() + b"\n")

    if "random" in sys.modules:
        sys.modules["random"].seed(os.environ.get("PYTHONHASHSEED"))  # the same run again draws the same numbers
    sys.path.insert(0, os.getcwd())
    tests = frozenset(config["test_files"])
    calls = Calls(frozenset(config["source_files"])) if job.get("profile") else None
    try:
        (run_pytest if config["runner"] == "pytest" else run_unittest)(job, emit, calls, tests)
        emit({"end": "ok"})
    except BaseException as error:  # of the repository's top level: SystemExit, KeyboardInterrupt, anything
        emit({"end": "crash", "failure": describe(error, error.__traceback__, tests)})
    finally:
        os._exit(0)


def collect(pipe: int, deadline: float) -> bytes:
    """What the child wrote, until it says that it has ended, dies, or the deadline has passed."""
    data = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([pipe], [], [], left)
        part = os.read(pipe, 1 << 16) if ready else b""
        if not part:
            break
        data += part
        if data.rfind(b'{"end": ', max(0, len(data) - 4096)) >= 0 and data.endswith(b"\n"):
            break
    return bytes(data)


def supervise(job: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        child(job, config, writer)
    os.close(writer)
    try:
        data = collect(reader, began + job["wall_s"])
    finally:
        os.close(reader)
        late = time.monotonic() - began >= job["wall_s"]
        status, usage = end_of(pid, patience_s=0.0 if late else 0.5)
    tests = [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
    last = tests.pop() if tests and "end" in tests[-1] else {"end": "wall" if late else "crash"}
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        last["end"] = "cpu"
    cpu = usage.ru_utime + usage.ru_stime
    return {**last, "seconds": time.monotonic() - began, "cpu_seconds": cpu, "tests": tests}


def end_of(pid: int, patience_s: float) -> tuple[int, resource.struct_rusage]:
    """Wait for the child, which may take `patience_s` to leave; then end it and all that its tests left running."""
    handle = os.pidfd_open(pid)
    select.select([handle], [], [], patience_s)  # readable once it has ended
    os.close(handle)
    with contextlib.suppress(ProcessLookupError):  # it is still ours to name: nobody has waited for it
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return status, usage


def main(jobs_path: str, results_path: str) -> None:
    config = json.loads(Path(jobs_path).read_text())
    paths = config["source_files"] + config["test_files"]
    compile_once(paths)
    preload(paths)
    if config["runner"] == "pytest":
        importlib.import_module("pytest")
    gc.collect()
    gc.freeze()  # the forks share the parent's pages
    with Path(results_path).open("w") as results:
        for job in config["jobs"]:
            with placed(job["files"]):
                outcome = supervise(job, config)
            results.write(json.dumps(outcome) + "\n")
            results.flush()


if __name__ == "__main__":
    main(*sys.argv[1:3])
