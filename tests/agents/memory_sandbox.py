"""Sandboxes that are dictionaries: a repository with one function and one test, run in this process."""

import asyncio
import itertools

from envs.grading import GradeReport
from envs.grading.policy import count_patch
from envs.patch import PatchError
from envs.swe import SWEEnv
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import ExecResult, SandboxError, SandboxFileError

RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
TESTS_CPU_S = 0.25
"""What a run of the tests costs."""
LOG = """test_add (test_calc.Calc.test_add) ... {status}
test_here (test_calc.Calc.test_here) ... ok

----------------------------------------------------------------------
Ran 2 tests in 0.001s

{verdict}
"""


class MemorySandbox:
    """Knows two commands: running the tests, and listing what was written."""

    def __init__(self, backend, name):
        self.backend, self.name, self.files = backend, name, {}

    async def run(self, command, **_):
        await self.backend.pause()
        if command[0] == "/usr/bin/find":
            written = {path: data for path, data in self.files.items() if not path.startswith(".git/")}
            return ExecResult(0, "".join(f"{len(data)} 644 1 1 {path}\0" for path, data in written.items()), "", 0.0)
        if command[0] == "/usr/bin/touch":
            return ExecResult(0, "", "", 0.0)
        right = b"a + b" in self.files.get("calc.py", b"")
        log = LOG.format(status="ok" if right else "FAIL", verdict="OK" if right else "FAILED (failures=1)")
        return ExecResult(exit_code=0 if right else 1, stdout="", stderr=log, seconds=0.0, cpu_seconds=TESTS_CPU_S)

    async def read(self, path):
        await self.backend.pause()
        if path not in self.files:
            raise SandboxFileError(path)
        return self.files[path]

    async def write(self, files):
        self.files.update(files)

    async def stop(self):
        self.backend.running.discard(self.name)


class MemoryBackend:
    """`failures` starts fail before the first that works."""

    name = "memory"

    def __init__(self, failures=0, delay=0.0):
        self.running, self.started, self.most = set(), itertools.count(), 0
        self.failures, self.delay = failures, delay
        self.networks = []
        self.busy = asyncio.Event()

    async def pause(self):
        await asyncio.sleep(self.delay)

    async def start(self, image, limits, *, network=False):
        await self.pause()
        if self.failures > 0:
            self.failures -= 1
            raise SandboxError("no space left")
        self.networks.append(network)
        sandbox = MemorySandbox(self, f"m{next(self.started)}")
        self.running.add(sandbox.name)
        self.busy.set()
        self.most = max(self.most, len(self.running))
        return sandbox


class MemoryGrader:
    """Looks at the function, in a sandbox of its own."""

    def __init__(self, backend):
        self.backend = backend

    async def grade(self, task, profile, patch):
        try:
            text = count_patch(task, profile, patch).files.get("calc.py") or ""
        except PatchError as error:
            return GradeReport(False, reason=str(error))
        sandbox = await self.backend.start(None, None)
        try:
            await self.backend.pause()
        finally:
            await sandbox.stop()
        status = "passed" if "a + b" in text else "failed"
        verdicts = dict.fromkeys(task.FAIL_TO_PASS, status), dict.fromkeys(task.PASS_TO_PASS, "passed")
        return GradeReport(status == "passed", *verdicts, reason="" if status == "passed" else "still failing")


def make_task(name="calc-1"):
    return TaskInstance(
        instance_id=name,
        repo="calc",
        base_commit="c" * 40,
        problem_statement="add(1, 2) gives -1, expected 3.\nFix calc.py.\n",
        patch="",
        FAIL_TO_PASS=("test_calc.Calc.test_add",),
        PASS_TO_PASS=("test_calc.Calc.test_here",),
        profile="calc",
        setup={"calc.py": WRONG},
        tests={"test_calc.py": "hidden"},
        test_targets=("test_calc.py",),
    )


def make_env(backend, tree, **options):
    profile = RepoProfile(
        name="calc",
        source="memory",
        base_commit="c" * 40,
        tree=tree,
        test_cmd="python -m unittest -v {tests}",
        source_files=("calc.py",),
        test_files=("test_calc.py",),
    )
    return SWEEnv([], {"calc": profile}, backend, MemoryGrader(backend), **options)
