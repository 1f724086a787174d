"""What an agent works in: a sandbox that holds the repository as its task shows it, and what was changed there.

Invariant: nothing in the sandbox tells which files the task changed, or how they read before. The repository is a fresh
one of one commit, all times are equal, and what an agent changed is read from outside and compared with what it was
given: neither git nor any program of the sandbox that an agent could have replaced has a say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from envs.git_objects import EPOCH
from envs.origin import ImageOrigin, Origin, TreeOrigin
from envs.published import break_image
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
_CACHES = (".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis")


@dataclass
class Workspace:
    """One sandbox with one task. Belongs to whoever opened it, who closes it."""

    sandbox: Sandbox
    origin: Origin
    times: Mapping[str, float] = field(default_factory=dict)
    """Path -> time of modification when it was given, where that is not `EPOCH`."""
    left_out: list[str] = field(default_factory=list)
    """Paths that changed and that no patch can hold: links, binary and oversized files, names
    that are no UTF-8, those beyond `MAX_CHANGED`."""

    async def changes(self) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """What the agent changed: path -> text as it was given and as it is now, None where there is no such file.

        Raises `SandboxError` when the sandbox failed.
        """
        before: dict[str, str | None] = {}
        after: dict[str, str | None] = {}
        self.left_out = []
        suspects = await self._suspects()
        self.left_out += suspects[MAX_CHANGED:]
        for path in suspects[:MAX_CHANGED]:
            try:
                old, new = await self.origin.read(path), await self._read(path)
                if old is None and new is None:  # its name is no UTF-8, so that it cannot be asked for
                    self.left_out.append(path)
                elif old != new:
                    before[path], after[path] = (None if data is None else data.decode() for data in (old, new))
            except UnicodeDecodeError:
                self.left_out.append(path)
        return before, after

    async def _suspects(self) -> list[str]:
        """Paths that may differ from what was given: their time or size does, or they are new, or gone. New ones last:
        a build may have made many.
        """
        given, found = self.origin.sizes, []
        there = await list_files(self.sandbox)
        for path, (size, time) in there.items():
            if size < 0 or size > MAX_BYTES:
                self.left_out += [path] if given.get(path) != size else []
            elif not path.endswith(".pyc") and (given.get(path) != size or time != self.times.get(path, EPOCH)):
                found.append(path)
        found += [path for path in given if path not in there]
        return sorted(found, key=lambda path: (path not in given, path))

    async def _read(self, path: str) -> bytes | None:
        try:
            return await self.sandbox.read(path)
        except SandboxFileError:
            return None

    async def close(self) -> None:
        """Stop the sandbox. Safe to call twice."""
        await self.sandbox.stop()
        await self.origin.close()


async def list_files(sandbox: Sandbox) -> dict[str, tuple[int, float]]:
    """Path -> size in bytes (-1: a link) and time of modification, of all files but caches. Raises `SandboxError`."""
    prune = [word for name in _CACHES for word in ("-o", "-name", name)][1:]
    said = ["-type", "f", "-printf", r"%s %T@ %P\0", "-o", "-type", "l", "-printf", r"-1 0 %P\0"]
    result = await sandbox.run(["/usr/bin/find", TESTBED, "(", *prune, ")", "-prune", "-o", *said])
    if result.dropped_bytes or result.exit_code:
        raise SandboxError(f"the files of {TESTBED} cannot be listed: {result.stderr[-200:] or 'there are too many'}")
    records = (record.split(" ", 2) for record in result.stdout.split("\0") if record)
    return {path: (int(size), float(time)) for size, time, path in records}


def _times(there: Mapping[str, tuple[int, float]]) -> dict[str, float]:
    return {path: time for path, (_, time) in there.items()}


async def open_workspace(
    backend: SandboxBackend, task: TaskInstance, profile: RepoProfile, limits: Limits
) -> Workspace:
    """A fresh sandbox as the task shows it. Raises `SandboxError`."""
    limits = replace(limits, output_kb=max(limits.output_kb, _LIST_KB))
    image = image_of(profile)
    sandbox = await backend.start(image, limits, network=task.network)
    try:
        if image.reference:
            changed = await break_image(sandbox, task)
            there = await list_files(sandbox)
            sizes = {path: size for path, (size, _) in there.items()}
            return Workspace(sandbox, ImageOrigin(image, backend, limits, sizes, changed), _times(there))
        origin = TreeOrigin(task, profile)
        setup = {path: text.encode() for path, text in task.setup.items()}
        await sandbox.write({**setup, **origin.repository})
        hidden = len(origin.sizes) <= _SMALL_TREE and any(path not in task.problem_statement for path in setup)
        await _set_times(sandbox, None if hidden else [*setup, *origin.repository])
        known = hidden or origin.equal_times
        return Workspace(sandbox, origin, {} if known else _times(await list_files(sandbox)))
    except BaseException:
        await sandbox.stop()
        raise


async def _set_times(sandbox: Sandbox, written: list[str] | None) -> None:
    """Equal times of modification everywhere. The time of the last change of status cannot be chosen, it is set to now
    for all files (None) or only for those that were written.
    """
    touch = ["/usr/bin/touch", "--no-dereference", f"--date=@{EPOCH}", "--"]
    if written is None:
        command = ["/usr/bin/find", ".", "-exec", *touch, "{}", "+"]
    else:
        folders = {str(parent) for path in written for parent in Path(path).parents}
        command = [*touch, *written, *sorted(folders)]
    result = await sandbox.run(command)
    if result.exit_code:
        raise SandboxError(f"the times of files cannot be set: {result.output[-200:]}")
