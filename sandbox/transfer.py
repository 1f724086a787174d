"""The owner's side of copying trees into a sandbox and out of it.

Invariant: only regular files and folders are copied, and nothing is written outside the target: names that come from a
sandbox are checked again here, and files are made new, never opened through a link. A copy out of a sandbox appears
whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.protocol import SandboxFileError

_BATCH_BYTES = 16 << 20
_BATCH_FILES = 2000


@dataclass(frozen=True)
class Entry:
    """A file (`size` in bytes) or a folder (`size` None) of a tree; `name` is relative to its root, "" the root."""

    name: str
    size: int | None
    mode: int


def survey(source: Path) -> list[Entry]:
    """All that a file or folder of this machine consists of. Raises `SandboxFileError` for anything special in it."""
    entries: list[Entry] = []
    try:
        _survey(source, "", entries)
    except OSError as error:
        if isinstance(error, SandboxFileError):
            raise
        raise SandboxFileError(f"{error.filename or source} cannot be copied: {error.strerror}") from error
    return entries


def _survey(path: Path, name: str, entries: list[Entry]) -> None:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode) & 0o777
    if stat.S_ISREG(status.st_mode):
        entries.append(Entry(name, status.st_size, mode))
    elif stat.S_ISDIR(status.st_mode):
        entries.append(Entry(name, None, mode))
        for below in sorted(path.iterdir()):
            _survey(below, f"{name}/{below.name}" if name else below.name, entries)
    else:
        raise SandboxFileError(f"{path}: a link, FIFO, socket or device cannot be copied")


def batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries in their order, in pieces that fit into one frame each."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (size + (entry.size or 0) > _BATCH_BYTES or len(batch) >= _BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size or 0
    yield batch


def packed(source: Path, target: str, batch: Sequence[Entry]) -> tuple[dict[str, Any], bytes]:
    """The request that writes a batch, and its body."""
    folders = [joined(target, entry.name) for entry in batch if entry.size is None]
    files, parts = [], []
    for entry in batch:
        if entry.size is not None:
            parts.append(_read(source / entry.name if entry.name else source))
            files.append((joined(target, entry.name), len(parts[-1]), entry.mode | 0o200))
    return {"op": "write", "folders": folders, "files": files}, b"".join(parts)


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as handle:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise SandboxFileError(f"{path}: no longer a regular file")
        return handle.read()


def joined(root: str, name: str) -> str:
    """The path of an entry below a root inside the sandbox."""
    return f"{root.rstrip('/')}/{name}" if name else root


@contextlib.contextmanager
def new_copy(target: Path) -> Iterator[Path]:
    """A place beside `target` that becomes `target` when the block ends well. Raises `SandboxFileError`."""
    if os.path.lexists(target):
        raise SandboxFileError(f"{target} exists already: choose another name or remove it")
    try:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise SandboxFileError(f"{target} cannot be made: {error.strerror}") from error
    try:
        yield folder / "copy"
        (folder / "copy").rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpack(root: Path, batch: Sequence[Entry], sizes: Sequence[int], body: bytes) -> None:
    """Write a batch below `root`. Raises `SandboxFileError` when a name or a size is not what it should be."""
    files = [entry for entry in batch if entry.size is not None]
    if len(sizes) != len(files) or sum(sizes) != len(body):
        raise SandboxFileError("the sandbox sent files of other sizes than it said")
    start = 0
    remaining = iter(sizes)
    for entry in batch:
        path = root / entry.name if entry.name else root
        if entry.name and (entry.name.startswith("/") or {"", ".", ".."} & set(entry.name.split("/"))):
            raise SandboxFileError(f"the sandbox sent a file named {entry.name!r}, which is not below its root")
        if entry.size is None:
            path.mkdir(mode=0o755)
            continue
        size = next(remaining)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, entry.mode & 0o777 | 0o600)
        with os.fdopen(fd, "wb") as handle:
            handle.write(body[start : start + size])
        start += size
