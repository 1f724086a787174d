"""What a local sandbox sees of its image: a tree its user may write over, and the folders that make up its Python.

Invariant: the image's own tree is never changed; a copy is made, once, only where its files belong to another user
than the one who runs in the sandbox, and again where a backend that was opened later finds a file or a mode changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from sandbox.home import home
from sandbox.protocol import Image, SandboxError

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_SOURCE = ".source"
_DAY = 24 * 3600


Listings = dict[tuple[Path, int, int], str]
"""Digests of what is listed of trees, by the tree, its inode and its time."""


def owned_tree(image: Image, uid: int, listings: Listings | None = None) -> Path:
    """The image's tree with `uid` as the owner of its files: itself, or a copy kept under `home()`.

    `listings`: what was looked at before and need not be again: thousands of files are not listed for each start.
    """
    tree = image.tree.resolve()
    if not tree.is_dir():
        raise SandboxError(f"image {image.name}: its tree {tree} is not a folder")
    status = tree.stat()
    if status.st_uid == uid:
        return tree
    listings, place = {} if listings is None else listings, (tree, status.st_ino, status.st_mtime_ns)
    if place not in listings:
        listings[place] = _listing(tree)
    key = f"{image.name} {tree} {status.st_ino} {status.st_mtime_ns} {listings[place]}"
    copy = home() / f"trees-{uid}" / hashlib.sha256(key.encode()).hexdigest()[:24]
    if not copy.exists():
        _copy(tree, copy, uid)
    return copy


def _listing(tree: Path) -> str:
    """A digest of what is listed of a tree: names and modes, of files sizes and times too."""
    digest, folders = hashlib.sha256(), [(str(tree), "")]
    while folders:
        folder, place = folders.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            status, name = entry.stat(follow_symlinks=False), f"{place}/{entry.name}"
            if stat.S_ISDIR(status.st_mode):
                folders.append((entry.path, name))
                listed = f"{name}\0{status.st_mode}\0"
            else:
                listed = f"{name}\0{status.st_mode}\0{status.st_size}\0{status.st_mtime_ns}\0"
            digest.update(os.fsencode(listed))
    return digest.hexdigest()


def _copy(tree: Path, copy: Path, uid: int) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=copy.parent, prefix="new-") as folder:
        new = Path(folder) / "tree"
        try:
            shutil.copytree(tree, new, symlinks=True)
        except shutil.Error as error:  # a list of all files that could not be copied
            reason = str(error.args[0][0][2]).partition(": ")[0]
            raise SandboxError(
                f"{tree} cannot be copied to {copy.parent} ({reason}): make room there, or set CONTEXTRL_HOME"
            ) from None
        new.chmod(0o755)
        if os.geteuid() == 0:
            for parent, folders, files in os.walk(new):
                for name in (".", *folders, *files):
                    os.chown(os.path.join(parent, name), uid, uid, follow_symlinks=False)
        copy.with_suffix(_SOURCE).write_text(str(tree))
        try:
            new.rename(copy)
        except OSError:
            if not copy.exists():  # another process was first otherwise
                raise


def prune_copies() -> None:
    """Remove copies older than a day whose source is gone: nothing can start from them any more."""
    for note in home().glob(f"trees-*/*{_SOURCE}"):
        if time.time() - note.stat().st_mtime > _DAY and not Path(note.read_text()).exists():
            shutil.rmtree(note.with_suffix(""), ignore_errors=True)
            note.unlink()


def python_folders(python: Path | None, uid: int) -> tuple[Path, tuple[str, ...]]:
    """The interpreter's path in the sandbox, and what must be shown of the host so that it runs.

    None stands for the interpreter that runs this program, without what is installed in its virtual environment.
    """
    if python is None:
        python = _own_interpreter()
    if not os.access(python, os.X_OK):
        raise SandboxError(f"the image's python {python} is not an executable file")
    bin_folder = python.parent.resolve()
    prefixes = [bin_folder.parent, python.resolve().parent.parent]
    if (bin_folder.parent / "pyvenv.cfg").is_file():
        prefixes.append(_base_of(bin_folder.parent / "pyvenv.cfg"))
    needed: list[str] = []
    for prefix in sorted(set(prefixes)):  # parents first
        if str(prefix) == "/" or any(prefix.is_relative_to(known) for known in (*_SYSTEM, *needed)):
            continue
        if os.geteuid() == 0 and prefix.stat().st_uid != uid and prefix.stat().st_mode & 0o5 != 0o5:
            raise SandboxError(f"{prefix} is closed to other users, so no sandbox can use it: chmod -R o+rX {prefix}")
        needed.append(str(prefix))
    return bin_folder / python.name, tuple(needed)


def refuse_shown(image: Image, trees: Iterable[Path], shown: Iterable[str]) -> None:
    """Raises `SandboxError` for a tree that could also be read where it lies: there it stays as it was."""
    for tree in trees:
        for folder in (*_SYSTEM, *shown):
            if tree.is_relative_to(folder):
                raise SandboxError(
                    f"image {image.name}: its tree {tree} lies in {folder}, which local sandboxes can read: "
                    "keep it (or CONTEXTRL_HOME) elsewhere"
                )


def _own_interpreter() -> Path:
    """Debian's has no plain `python`, a virtual environment of it has: the most exact name that is there."""
    names = (f"python{sys.version_info.major}.{sys.version_info.minor}", "python3", "python")
    found = [path for name in names if (path := Path(sys.base_prefix) / "bin" / name).is_file()]
    return found[0] if found else Path(sys.executable)


def _base_of(config: Path) -> Path:
    for line in config.read_text().splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home":
            return Path(value.strip()).resolve().parent
    raise SandboxError(f"{config} does not say where its interpreter's home is")
