"""A tree on its way to another machine: its digest, and the tar archive it travels in.

Invariant: only folders, regular files and links travel, and of their modes only whether a file is executable. Unpacking
writes nothing outside the folder it is given and follows no link, whatever the archive says: everything is made new,
below a folder that the same archive made before. A link is kept as it is; where it leads counts in the sandbox only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sandbox.protocol import Image, SandboxError

MAX_ENTRIES = 200_000
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class TreeRefused(SandboxError):
    """A tree or an archive holds what must not travel; the message names it."""


@dataclass(frozen=True)
class Survey:
    """What a tree is and how large."""

    digest: str
    """SHA-256, in hexadecimal, of names, contents, link targets and what is executable."""
    entries: int
    size: int
    """Bytes of all its files."""


def image_survey(image: Image) -> Survey:
    """Of the image's tree. Raises `SandboxError` where it cannot be read."""
    if not image.tree.is_dir():
        raise SandboxError(f"image {image.name}: its tree {image.tree} is not a folder")
    return survey(image.tree)


def survey(tree: Path) -> Survey:
    """Read a tree from end to end."""
    digest, entries, size = hashlib.sha256(), 0, 0
    for name, path, status in tree_entries(tree):
        content = b""
        if stat.S_ISREG(status.st_mode):
            with path.open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").digest()
        elif stat.S_ISLNK(status.st_mode):
            content = os.fsencode(os.readlink(path))
        digest.update(os.fsencode(name) + b"\0%s\0%d\0" % (_kind(status), len(content)) + content)
        entries, size = entries + 1, size + (status.st_size if stat.S_ISREG(status.st_mode) else 0)
    return Survey(digest.hexdigest(), entries, size)


def tree_digest(tree: Path) -> str:
    """What tells a tree from all others (see `Survey.digest`)."""
    return survey(tree).digest


def pack(tree: Path, archive: IO[bytes]) -> None:
    """Write the tree as a tar archive."""
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, path, status in tree_entries(tree):
            entry = tarfile.TarInfo(name)
            entry.mtime = int(status.st_mtime)
            entry.mode = 0o755
            if stat.S_ISDIR(status.st_mode):
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            elif stat.S_ISLNK(status.st_mode):
                entry.type = tarfile.SYMTYPE
                entry.linkname = os.readlink(path)
                tar.addfile(entry)
            else:
                entry.size = status.st_size
                entry.mode = 0o755 if _kind(status) == b"program" else 0o644
                with path.open("rb") as handle:
                    tar.addfile(entry, handle)


def unpack(archive: IO[bytes], folder: Path) -> None:
    """Unpack into a folder that exists and is empty. Raises `TreeRefused`; what was made until then stays."""
    folders = {""}
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for count, entry in enumerate(tar):
                if count >= MAX_ENTRIES:
                    raise TreeRefused(f"the tree holds more than {MAX_ENTRIES} files")
                _make(tar, entry, folder, folders)
    except (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError) as error:
        raise TreeRefused(f"the tree is no proper tar archive: {error}") from error
    except OSError as error:
        raise TreeRefused(f"the tree cannot be unpacked: {error.strerror or error}") from error


def _make(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path, folders: set[str]) -> None:
    parent = entry.name.rpartition("/")[0]
    if any(part in ("", ".", "..") for part in entry.name.split("/")) or parent not in folders:
        raise TreeRefused(f"the tree holds {entry.name!r}, which does not lie in a folder of it")
    path = folder / entry.name  # what is there already is never replaced: all calls below refuse to
    if entry.isdir():
        path.mkdir()
        path.chmod(0o755)
        folders.add(entry.name)
    elif entry.issym():
        path.symlink_to(entry.linkname)
    elif entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse() and entry.size >= 0:
        _write(tar, entry, path)
    else:
        raise TreeRefused(f"the tree holds {entry.name!r}, which is no folder, regular file or symbolic link")


def _write(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    source = tar.extractfile(entry)
    assert source is not None  # a regular file
    with source, os.fdopen(os.open(path, _NEW, 0o600), "wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fchmod(target.fileno(), 0o755 if entry.mode & 0o100 else 0o644)
        os.utime(target.fileno(), (int(entry.mtime), int(entry.mtime)))


def _kind(status: os.stat_result) -> bytes:
    if stat.S_ISREG(status.st_mode):
        return b"program" if status.st_mode & 0o100 else b"file"
    return b"folder" if stat.S_ISDIR(status.st_mode) else b"link"


def tree_entries(tree: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """All below the tree in a fixed order, folders before what is in them."""
    for parent, folders, files in os.walk(tree):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            status = path.lstat()
            if stat.S_IFMT(status.st_mode) not in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK):
                raise TreeRefused(f"{path} is no folder, regular file or symbolic link: it cannot be part of an image")
            yield path.relative_to(tree).as_posix(), path, status
