"""One job, one fork: limits, the tests, the end of all that they left running.

Invariant: whatever the code under test does, `supervise` returns within the job's wall time and a little.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

from .guard import Fingerprint, Plan
from .hidden_calls import run_calls
from .processes import become_readable, end_others, share_arenas
from .pytest_runner import run_pytest
from .recording import Recorder
from .records import Calls, describe
from .tree import forget
from .unittest_runner import run_unittest


def child(job: dict[str, Any], config: dict[str, Any], fingerprint: Fingerprint | None, pipe: int) -> None:
    """The fork: limits first, then the repository. Never returns."""
    become_readable()
    os.setsid()
    limit = int(job["memory_mb"]) << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    share_arenas()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process: code under test cannot catch it
    signal.setitimer(signal.ITIMER_PROF, job["cpu_s"])
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)

    def emit(record: dict[str, Any]) -> None:
        os.write(pipe, json.dumps(record).encode() + b"\n")

    if "random" in sys.modules:
        sys.modules["random"].seed(os.environ.get("PYTHONHASHSEED"))  # the same run again draws the same numbers
    roots = [os.getcwd(), *config["own_paths"]]
    sys.path[:0] = roots
    forget(roots)
    tests = frozenset(config["test_files"])
    calls = Calls(frozenset(config["source_files"]), tests) if job.get("profile") else None
    if job.get("record"):
        calls = Recorder(job["record"], frozenset(config["source_files"]), emit)
    changed = fingerprint.changed if fingerprint else list  # bound before the repository is imported
    code = 0
    try:
        if job.get("calls"):
            run_calls(job["calls"], emit, job["call_s"], job["lasting"])
        else:
            run = run_pytest if config["runner"] == "pytest" else run_unittest
            plan = Plan(job["plan"], sys.modules.get("pytest")) if job.get("plan") is not None else None
            code = run(job, config, emit, calls, plan)
        emit({"end": "ok", "code": code, "changed": changed()})
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
        if data.endswith(b"\n") and data[data.rfind(b"\n", 0, -1) + 1 :].startswith(b'{"end": '):
            break
    return bytes(data)


def supervise(
    job: dict[str, Any], config: dict[str, Any], fingerprint: Fingerprint | None, before: frozenset[int]
) -> dict[str, Any]:
    """Run a job in a fork; what it did. Of the processes there are, only those of `before` stay."""
    began = time.monotonic()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        child(job, config, fingerprint, writer)
    os.close(writer)
    try:
        data = collect(reader, began + job["wall_s"])
    finally:
        os.close(reader)
        late = time.monotonic() - began >= job["wall_s"]
        status, usage = end_of(pid, patience_s=0.0 if late else 0.5)
        end_others(before)
    tests = [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
    last = tests.pop() if tests and "end" in tests[-1] else {"end": "wall" if late else "crash"}
    if last["end"] == "crash" and "failure" not in last and os.WIFEXITED(status):
        last["end"] = "left"
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
