"""Carries out actions in a sandbox.

Invariant: an action changes nothing but files under /testbed, and whatever the policy writes, the answer is an
observation: mistakes come back as one line that starts with `error: `. Only `SandboxError` is raised.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from envs.definitions import DefinitionError, replace_definition
from envs.patch import PatchError, check_path, split_lines
from envs.runtime import TestRun, run_tests
from envs.task import RepoProfile
from envs.tools import Action, ActionError, check_action, quote
from sandbox.protocol import TESTBED, ExecResult, Sandbox, SandboxFileError

MAX_FAILURES = 10
MAX_HITS = 100
MAX_HIT_CHARS = 200
_TEST_TARGET = re.compile(r"[\w./:\[\]-]+$")


@dataclass(frozen=True)
class Observation:
    """What an action gave. `exit_code` is that of the process it ran, if it ran one."""

    text: str
    exit_code: int | None = None
    cpu_seconds: float | None = field(default=None, compare=False)
    """CPU time of all commands that it ran in the sandbox; None where it ran none, or one was not measured."""


@dataclass
class Toolbox:
    """Carries out actions in one sandbox."""

    sandbox: Sandbox
    profile: RepoProfile
    targets: tuple[str, ...] = ()
    """What `run_tests` runs when it is not told."""
    max_chars: int = 4000
    """Longest observation; what is left out is said in a last line."""
    written: set[str] = field(default_factory=set, init=False)
    """Paths that were written since this was last cleared."""
    ran: bool = field(default=False, init=False)
    """Whether tests ran since this was last set to False, which may have changed any file."""
    _spent: list[float | None] = field(default_factory=list, init=False)
    """CPU time of each command of the action that is carried out."""

    async def call(self, action: Action) -> Observation:
        """Do what the action says, `submit` excepted. Raises `SandboxError` when the sandbox failed."""
        tools: Mapping[str, Callable[..., Awaitable[str | Observation]]] = {
            "view": self.view,
            "search": self.search,
            "edit": self.edit,
            "run_tests": self.run_tests,
        }
        self._spent.clear()
        try:
            result = await tools[check_action(action).name](**action.arguments)
        except (ActionError, DefinitionError) as error:
            result = f"error: {error}"
        observation = result if isinstance(result, Observation) else Observation(result)
        return replace(observation, cpu_seconds=_total(self._spent))

    async def view(self, path: str, start: str = "", end: str = "") -> str:
        """The file verbatim, or those of its lines that were asked for, or a folder's entries."""
        path = _inside(path, folder=True)
        text = await self.read(path) if path != "." else None
        if text is None:
            return _cap(split_lines(await self._entries(path)), 1, self.max_chars, "")
        lines = split_lines(text)
        first, last = _number("start", start, 1), _number("end", end, len(lines))
        if lines and not (1 <= first <= len(lines) and first <= last):
            turned = f", and {first} comes after {last}" if end and last < first else ""
            raise ActionError(f"{path} has the lines 1 to {len(lines)}{turned}")
        return _cap(lines[first - 1 : last], first, self.max_chars, "; view with start and end")

    async def search(self, pattern: str, path: str = ".") -> str:
        """`path:line:text` of every line that holds the text, or else fits the regular expression."""
        path = _inside(path, folder=True)
        if not pattern or "\n" in pattern or "\0" in pattern:
            raise ActionError("pattern must be one line of text")
        grep = f"grep -rnIH -m {MAX_HITS + 1} --exclude-dir=.git --exclude-dir=__pycache__"
        where = f"-e {shlex.quote(pattern)} -- {shlex.quote(path)}"
        # Sorted, since the order of a folder's entries differs between file systems.
        result = await self._run(
            f"test -e {shlex.quote(path)} || exit 9; found=$({grep} -F {where} || {grep} -P {where}); "
            f'printf %s "$found" | LC_ALL=C sort -s -t: -k1,1 | head -n {MAX_HITS + 1}'
        )
        if result.exit_code == 9:
            raise ActionError(f"no such file or folder {path}")
        hits = [line.removeprefix("./") for line in result.stdout.split("\n") if line]
        if not hits:
            return f"no match for {quote(pattern)}"
        lines = [hit[:MAX_HIT_CHARS] + "\n" for hit in hits[:MAX_HITS]]
        lines += ["[more matches left out]\n"] if len(hits) > MAX_HITS else []
        return _cap(lines, 1, self.max_chars, "; search for something rarer").removesuffix("\n")

    async def edit(self, path: str, new: str, old: str | None = None) -> str:
        """Replace a text, a definition, or make a file."""
        path = _inside(path)
        before = await self.read(path)
        if before is None and await self._is_folder(path):
            raise ActionError(f"{path} is a folder")
        if old:
            after = _replace_once(before, path, old, new)
        else:
            after = new if before is None else replace_definition(before, path, new)
        self.written.add(path)  # also by a write that fails half-way
        try:
            await self.sandbox.write({path: after.encode()})
        except SandboxFileError:
            raise ActionError(f"cannot write {path}") from None
        return f"edited {path}"

    async def run_tests(self, tests: str = "") -> Observation:
        """One line per failing test, then the counts."""
        targets = tuple(tests.split()) or self.targets
        for target in targets:
            if target.startswith("-") or not _TEST_TARGET.match(target):
                raise ActionError(f"{quote(target)} is not a test file or test id")
        self.ran = True
        run = await run_tests(self.sandbox, self.profile, targets)
        self._spent.append(run.process.cpu_seconds)
        return Observation(_summary(run)[: self.max_chars], run.process.exit_code)

    async def read(self, path: str) -> str | None:
        """A text file's contents as they are now; None where there is no such file. Raises `ActionError`."""
        try:
            return (await self.sandbox.read(path)).decode()
        except SandboxFileError:
            return None
        except UnicodeDecodeError:
            raise ActionError(f"{path} is not a text file") from None

    async def _entries(self, path: str) -> str:
        result = await self._run(["env", "LC_ALL=C", "ls", "-1Ap", "--", path])
        if result.exit_code != 0 or not await self._is_folder(path):
            raise ActionError(f"no such file {path}")
        return "".join(f"{e}\n" for e in result.stdout.splitlines() if e not in (".git/", "__pycache__/"))

    async def _is_folder(self, path: str) -> bool:
        return (await self._run(["test", "-d", path])).exit_code == 0

    async def _run(self, command: str | list[str]) -> ExecResult:
        result = await self.sandbox.run(command)
        self._spent.append(result.cpu_seconds)
        return result


def _inside(path: str, folder: bool = False) -> str:
    """The path relative to the repository. Raises `ActionError` for one that leads out of it."""
    clean = posixpath.normpath(path) if path else ""
    clean = "." if clean == TESTBED else clean.removeprefix(TESTBED + "/")
    try:
        return clean if folder and clean == "." else check_path(clean)
    except PatchError:
        raise ActionError(f"{quote(path)} is not a path inside the repository") from None


def _total(spent: Sequence[float | None]) -> float | None:
    known = [seconds for seconds in spent if seconds is not None]
    return sum(known) if spent and len(known) == len(spent) else None


def _number(name: str, text: str, default: int) -> int:
    try:
        return int(text) if text else default
    except ValueError:
        raise ActionError(f"{name} must be a number, not {quote(text)}") from None


def _replace_once(before: str | None, path: str, old: str, new: str) -> str:
    if before is None:
        raise ActionError(f"no such file {path}")
    count = before.count(old)
    if count != 1:
        raise ActionError(f"old occurs {count} times in {path}" if count else f"old does not occur in {path}")
    return before.replace(old, new)


def _cap(lines: Sequence[str], first: int, limit: int, hint: str) -> str:
    """As many whole lines as fit (of an overlong first line a piece), then one line that says what was left out."""
    text = "".join(lines)
    if len(text) <= limit:
        return text
    whole = text[: text.rfind("\n", 0, limit) + 1]
    left_out = f"lines {first + whole.count(chr(10))} to {first + len(lines) - 1} left out"
    return f"{whole or text[:limit] + chr(10)}[{left_out}{hint}]\n"


def _summary(run: TestRun) -> str:
    log, process = run.log, run.process
    if process.timed_out:
        raise ActionError("the tests ran out of time")
    if not log.results:
        said = [line for line in process.output.splitlines() if line.strip()]
        raise ActionError(f"the tests did not run: {said[-1].strip()[:300] if said else 'no output'}")
    failing = log.failing
    lines = [f"FAILED {test}: {log.messages.get(test, log.results[test])}" for test in failing[:MAX_FAILURES]]
    return "\n".join([*lines, f"{len(failing)} failed, {len(log.passing)} passed"])
