"""How the files of a task read before an agent changed them.

Invariant: an original never comes from the sandbox that the agent was in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from envs.git_objects import EPOCH, HEAD, GitObject, blob, one_commit
from envs.listing import LINK, Shown
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import Image, Limits, Sandbox, SandboxBackend, SandboxFileError


class Origin(Protocol):
    """Where originals come from."""

    @property
    def given(self) -> Mapping[str, Shown]:
        """Every file that the agent was given, by its path."""

    @property
    def identity(self) -> str:
        """The same for two origins if and only if they give the same."""

    async def read(self, path: str) -> bytes | None:
        """A file as the agent was given it; None where there is none. Raises `SandboxError`."""

    async def close(self) -> None:
        """Give back what it holds."""


class Given(NamedTuple):
    """A file as the repository has it."""

    object: GitObject
    executable: bool


class TreeOrigin:
    """The tree of a profile, and what the task puts over it."""

    def __init__(self, task: TaskInstance, profile: RepoProfile) -> None:
        self._setup, self._tree = task.setup, profile.tree
        self.given, self.repository = _shown(profile.tree, profile.base_commit, tuple(sorted(task.setup.items())))
        """`repository` is the `.git` of it all, as files."""
        self.identity = self.repository[HEAD].decode().strip()
        self.equal_times = _has_equal_times(profile.tree, profile.base_commit)
        """Whether all files of the tree have the time `EPOCH`, as those of a plugged-in repository have."""

    async def read(self, path: str) -> bytes | None:
        """See `Origin`."""
        if path in self._setup:
            return self._setup[path].encode()
        return (self._tree / path).read_bytes() if path in self.given else None

    async def close(self) -> None:
        """Nothing to give back."""


class ImageOrigin:
    """A published image: a second sandbox of it, started when it is first asked.

    `changed` is what the task puts over it, path -> contents.
    """

    def __init__(
        self,
        image: Image,
        backend: SandboxBackend,
        limits: Limits,
        given: Mapping[str, Shown],
        changed: Mapping[str, bytes | None],
    ) -> None:
        self._image, self._backend, self._limits, self.given, self._changed = image, backend, limits, given, changed
        self._pristine: Sandbox | None = None

    @cached_property
    def identity(self) -> str:
        """The image's name, what lies in it, and what the task puts over it."""
        lines = [f"{self._image.reference}\n"]
        lines += [f"{path}\0{shown}\n" for path, shown in sorted(self.given.items())]
        lines += [f"{path}\0{data!r}\n" for path, data in sorted(self._changed.items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    async def read(self, path: str) -> bytes | None:
        """See `Origin`."""
        if path not in self.given or self.given[path].size == LINK:
            return None
        if path in self._changed:
            return self._changed[path]
        if self._pristine is None:
            self._pristine = await self._backend.start(self._image, self._limits)
        try:
            return await self._pristine.read(path)
        except SandboxFileError:
            return None

    async def close(self) -> None:
        """Stop the second sandbox."""
        pristine, self._pristine = self._pristine, None
        if pristine is not None:
            await pristine.stop()


@lru_cache(maxsize=32)
def _tree_objects(tree: Path, base_commit: str) -> dict[str, Given]:
    """The files of a repository at its base commit."""
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    return {
        path.relative_to(tree).as_posix(): Given(blob(path.read_bytes()), bool(path.stat().st_mode & 0o100))
        for path in files
        if ".git" not in path.relative_to(tree).parts
    }


@lru_cache(maxsize=32)
def _has_equal_times(tree: Path, base_commit: str) -> bool:
    return all((tree / path).stat().st_mtime == EPOCH for path in _tree_objects(tree, base_commit))


@lru_cache(maxsize=64)  # a group plays one task many times
def _shown(
    tree: Path, base_commit: str, setup: tuple[tuple[str, str], ...]
) -> tuple[dict[str, Shown], dict[str, bytes]]:
    """The files that a task shows, and its `.git`."""
    given = dict(_tree_objects(tree, base_commit))
    for path, text in setup:
        given[path] = Given(blob(text.encode()), path in given and given[path].executable)
    return {path: Shown(entry.object.size, entry.executable) for path, entry in given.items()}, one_commit(given)
