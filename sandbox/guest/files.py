"""Files of a sandbox: read, written, listed.

Invariant: only regular files below `ROOTS` are touched. No link, FIFO, socket or device is ever opened, and a link that
is swapped in meanwhile is refused.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TESTBED = "/testbed"
ROOTS = (TESTBED, "/tmp")
MAX_READ = 256 << 20
MAX_ENTRIES = 200_000
MAX_TREE = 1 << 30


class Refused(Exception):
    """A file request that cannot be served; the text goes to the client."""


def resolve(path: str, follow: bool) -> str:
    """The real path, links in it followed (the last one only when `follow`); it must lie in `ROOTS`."""
    full = os.path.join(TESTBED, path)
    folder, name = os.path.split(full)
    real = os.path.realpath(full) if follow else os.path.join(os.path.realpath(folder), name)
    inside = any(real.startswith(root + "/") for root in ROOTS)
    if not inside or name in ("", ".", ".."):
        raise Refused(f"{path}: not a file below {' or '.join(ROOTS)}")
    return real


def _whole(path: str) -> str:
    return os.path.normpath(os.path.join(TESTBED, path))


def _descend(real: str, make: bool = False) -> int:
    """The folder that a resolved path lies in, reached without following any link."""
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for depth, part in enumerate(real.strip("/").split("/")[:-1]):
            if make and depth > 0:
                try:
                    os.mkdir(part, 0o755, dir_fd=fd)
                except FileExistsError:
                    pass
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_below(real: str, flags: int, make_parents: bool = False, mode: int = 0o644) -> int:
    """Open a resolved path; it must be a regular file."""
    folder = _descend(real, make_parents)
    try:
        found = os.open(os.path.basename(real), flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise Refused(f"{real}: not a regular file")
    return found


def read_file(path: str, follow: bool = True) -> bytes:
    """The contents of a regular file in `ROOTS`."""
    with os.fdopen(open_below(resolve(path, follow), os.O_RDONLY), "rb") as handle:
        data = handle.read(MAX_READ + 1)
    if len(data) > MAX_READ:
        raise Refused(f"{path}: larger than {MAX_READ >> 20} MiB")
    return data


def write_file(path: str, data: bytes | None, mode: int | None = None) -> None:
    """Write one file, or delete it when `data` is None; deleting what is not there is no error."""
    if data is None:
        try:
            os.unlink(resolve(path, False))
        except FileNotFoundError:
            pass
        return
    fd = open_below(resolve(path, True), os.O_WRONLY | os.O_CREAT, make_parents=True)
    with os.fdopen(fd, "wb") as handle:
        handle.truncate(0)
        handle.write(data)
        if mode is not None:
            os.fchmod(fd, mode)


def write_files(request: dict[str, Any], body: bytes) -> dict[str, Any]:
    """`folders` are made; `files` are [path, size, mode or null] in the order of their bytes; size null deletes.

    The answer's header, which is empty.
    """
    start = 0
    path = ""
    try:
        for path in request.get("folders", ()):
            if _whole(path) not in ROOTS:
                os.close(_descend(resolve(path, False) + "/.", make=True))
        for path, size, mode in request["files"]:
            data = None if size is None else body[start : start + size]
            start += size or 0
            write_file(path, data, mode)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
    return {}


def read_files(paths: list[str]) -> tuple[dict[str, Any], bytes]:
    """Several files at once; their sizes and their bytes. No link is followed."""
    parts = [read_file(path, follow=False) for path in paths]
    return {"sizes": [len(part) for part in parts]}, b"".join(parts)


def list_tree(path: str) -> dict[str, Any]:
    """What `path` is: a file, or a folder with all below it: [relative path, size or null for a folder, mode]."""
    real = whole if (whole := _whole(path)) in ROOTS else resolve(path, False)
    entries: list[list[Any]] = []
    _list(real, "", entries)
    if sum(size or 0 for _, size, _ in entries) > MAX_TREE:
        raise Refused(f"{path}: more than {MAX_TREE >> 20} MiB; take parts of it")
    return {"entries": entries}


def _list(real: str, name: str, entries: list[list[Any]]) -> None:
    full = f"{real}/{name}" if name else real
    status = os.lstat(full)
    mode = stat.S_IMODE(status.st_mode) & 0o777
    if stat.S_ISREG(status.st_mode):
        entries.append([name, status.st_size, mode])
    elif stat.S_ISDIR(status.st_mode):
        entries.append([name, None, mode])
        for entry in sorted(os.listdir(full)):
            _list(real, f"{name}/{entry}" if name else entry, entries)
    else:
        raise Refused(f"{full}: a link, FIFO, socket or device cannot be copied")
    if len(entries) > MAX_ENTRIES:
        raise Refused(f"{real}: more than {MAX_ENTRIES} files")
