"""What an agent works in: a sandbox that holds the repository as its task shows it, and what was changed there.

Invariant: nothing in the sandbox tells which files the task changed, or how they read before. The repository is a fresh
one of one commit, all times are equal, and what an agent changed is read from outside and compared with what it was
given: neither git nor any program of the sandbox that an agent could have replaced has a say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from envs.git_objects import EPOCH, GitObject, blob, one_commit
from envs.runtime import image_of
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import TESTBED, Limits, Sandbox, SandboxBackend, SandboxError, SandboxFileError

MAX_CHANGED = 1000
"""Changed files that are looked at."""
MAX_BYTES = 1 << 20
"""A larger file is no source of anybody's."""
_SMALL_TREE = 2000
"""Files up to which the times of all are set anew, which costs 0.06 ms a file in the local backend. In larger trees,
and where the problem statement names what the task changed, those of what was written are enough."""
_LIST_KB = 8192
"""Captured output, KiB: the list of all files must fit. As the grader's, so that both take from one pool."""
_CACHES = {".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}


class Given(NamedTuple):
    """A file as the repository has it."""

    object: GitObject
    executable: bool


@dataclass
class Workspace:
    """One sandbox with one task. Belongs to whoever opened it, who closes it."""

    sandbox: Sandbox
    task: TaskInstance
    tree: Path
    given: Mapping[str, Given]
    """Every file that the agent was given."""
    left_out: list[str] = field(default_factory=list)
    """Paths that changed and that no patch can hold: links, binary and oversized files."""

    async def changes(self) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """What the agent changed: path -> text as it was given and as it is now, None where there is no such file.

        Raises `SandboxError` when the sandbox failed.
        """
        before: dict[str, str | None] = {}
        after: dict[str, str | None] = {}
        self.left_out = []
        there = await self._listed()
        for path in sorted(self.given.keys() - there.keys()):
            before[path], after[path] = self.original(path), None
        for path in [path for path, changed in sorted(there.items()) if changed][:MAX_CHANGED]:
            old, new = self.original(path), await self._read(path)
            if new is not None and new != old:
                before[path], after[path] = old, new
        return before, after

    def original(self, path: str) -> str | None:
        """A file as the agent was given it."""
        if path in self.task.setup:
            return self.task.setup[path]
        return (self.tree / path).read_bytes().decode(errors="replace") if path in self.given else None

    async def _listed(self) -> dict[str, bool]:
        """Path -> whether it may differ from what was given: its time or size does, or it was not there."""
        said = ["-type", "f", "-printf", r"%s %T@ %P\0", "-o", "-type", "l", "-printf", r"-1 0 %P\0"]
        prune = ["(", *_any_name(_CACHES), ")", "-prune", "-o"]
        result = await self.sandbox.run(["/usr/bin/find", TESTBED, *prune, *said])
        if result.dropped_bytes or result.exit_code:
            raise SandboxError(f"the files of {TESTBED} cannot be listed: {result.stderr[-200:] or 'too many'}")
        found: dict[str, bool] = {}
        for record in filter(None, result.stdout.split("\0")):
            size, time, path = record.split(" ", 2)
            known = self.given.get(path)
            if int(size) < 0 or int(size) > MAX_BYTES:
                self.left_out += [path] if known is None or known.object.size != int(size) else []
                found[path] = False
            elif not path.endswith(".pyc"):
                found[path] = known is None or known.object.size != int(size) or float(time) != EPOCH
        return found

    async def _read(self, path: str) -> str | None:
        try:
            return (await self.sandbox.read(path)).decode()
        except (SandboxFileError, UnicodeDecodeError):
            self.left_out.append(path)
            return None

    async def close(self) -> None:
        """Stop the sandbox. Safe to call twice."""
        await self.sandbox.stop()


def _any_name(names: set[str]) -> list[str]:
    tests = [word for name in sorted(names) for word in ("-o", "-name", name)]
    return tests[1:]


async def open_workspace(
    backend: SandboxBackend, task: TaskInstance, profile: RepoProfile, limits: Limits
) -> Workspace:
    """A fresh sandbox as the task shows it. Raises `SandboxError`."""
    limits = replace(limits, output_kb=max(limits.output_kb, _LIST_KB))
    sandbox = await backend.start(image_of(profile), limits, network=task.network)
    try:
        given, repository = _shown(profile.tree, profile.base_commit, tuple(sorted(task.setup.items())))
        await sandbox.write({**{path: text.encode() for path, text in task.setup.items()}, **repository})
        hidden = len(given) <= _SMALL_TREE and any(path not in task.problem_statement for path in task.setup)
        await _set_times(sandbox, None if hidden else [*task.setup, *repository])
    except BaseException:
        await sandbox.stop()
        raise
    return Workspace(sandbox, task, profile.tree, given)


async def _set_times(sandbox: Sandbox, written: list[str] | None) -> None:
    """Equal times of modification everywhere. The time of the last change of status cannot be chosen, it is set to now
    for all files (None) or only for those that were written.
    """
    time = ["/usr/bin/touch", "--no-dereference", f"--date=@{EPOCH}", "--"]
    if written is None:
        command = ["/usr/bin/find", ".", "-exec", *time, "{}", "+"]
    else:
        folders = {str(parent) for path in written for parent in Path(path).parents}
        command = [*time, *written, *sorted(folders)]
    result = await sandbox.run(command)
    if result.exit_code:
        raise SandboxError(f"the times of files cannot be set: {result.output[-200:]}")


@lru_cache(maxsize=32)
def _tree_objects(tree: Path, base_commit: str) -> dict[str, Given]:
    """The files of a repository at its base commit."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        path.relative_to(tree).as_posix(): Given(blob(path.read_bytes()), bool(path.stat().st_mode & 0o100))
        for path in files
        if ".git" not in path.relative_to(tree).parts
    }


@lru_cache(maxsize=64)  # a group plays one task many times
def _shown(
    tree: Path, base_commit: str, setup: tuple[tuple[str, str], ...]
) -> tuple[dict[str, Given], dict[str, bytes]]:
    """The files that a task shows, and its `.git`."""
    given = dict(_tree_objects(tree, base_commit))
    for path, text in setup:
        given[path] = Given(blob(text.encode()), path in given and given[path].executable)
    return given, one_commit(given)
