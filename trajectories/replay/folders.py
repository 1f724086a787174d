"""A repository in a folder of the user's, as it was at a commit.

Invariant: the folder is only read; what is replayed on lies in the home folder under the hash of its contents, whole or
not at all.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from envs.repos.fetch import normalise, tree_hash
from sandbox.home import home

_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}")


class TaskMissing(ValueError):
    """The task of a trajectory, or its repository, cannot be had; the message says what to do."""


def kept_tree(folder: Path, commit: str) -> tuple[Path, str]:
    """The files of a commit in the home folder, in a folder named by their contents; what is to be said of them."""
    kept = home() / "replays"
    kept.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".taking-", dir=kept) as work:
        new = Path(work) / "tree"
        note = _checked_out(folder, commit, new)
        normalise(new)
        place = kept / tree_hash(new)
        if not place.exists():
            Path(work).chmod(0o755)
            (Path(work) / "new").mkdir()
            new.rename(Path(work) / "new" / "tree")
            (Path(work) / "new").rename(place)
    return place / "tree", note


def _checked_out(folder: Path, commit: str, tree: Path) -> str:
    """Put the files of a commit into a new folder; what is to be said of them."""
    if not (folder / ".git").exists():
        shutil.copytree(folder, tree, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".git"))
        return f"{folder} is no git repository: its files are taken as they are."
    wanted = commit or "HEAD"
    if commit and not _COMMIT.fullmatch(commit):  # a record may say anything, options of git included
        raise TaskMissing(f"the record's base commit {commit[:60]!r} is none: it must be hexadecimal digits")
    archive = subprocess.run(["git", "-C", str(folder), "archive", wanted], capture_output=True, check=False)
    if archive.returncode:
        raise TaskMissing(f"the repository {folder} has no commit {wanted}: git fetch it there, or give another --repo")
    tree.mkdir()
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    return "" if commit else f"The record names no base commit: the newest of {folder} is taken."
