"""Fills a fresh, size-limited /testbed from a read-only copy of the repository that the image holds.

Invariant: what stands there afterwards equals the copy: contents, modes, links, empty folders.
"""

from __future__ import annotations

import os

_CHUNK = 1 << 20


def copy_tree(source: str, target: str) -> None:
    """Copy all below `source` into the existing folder `target`. Raises `OSError`."""
    with os.scandir(source) as entries:
        for entry in entries:
            copy = f"{target}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), copy)
            elif entry.is_dir(follow_symlinks=False):
                os.mkdir(copy)
                copy_tree(entry.path, copy)
                os.chmod(copy, entry.stat().st_mode & 0o777 | 0o700)
            else:
                _copy_file(entry.path, copy, entry.stat().st_mode & 0o777)


def _copy_file(source: str, target: str, mode: int) -> None:
    fd_in = os.open(source, os.O_RDONLY)
    fd_out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    while chunk := os.read(fd_in, _CHUNK):
        os.write(fd_out, chunk)
    os.close(fd_in)
    os.close(fd_out)
