"""A repository in a folder of the user's, as it was at a commit.

Invariant: the folder is only read; what is replayed on lies in the home folder under the hash of its contents, whole or
not at all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from envs.repos.fetch import normalise
from sandbox.home import home
from sandbox.tree_archive import tree_digest

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
        place = kept / tree_digest(new)[:40]  # modes count
        if not place.exists():
            Path(work).chmod(0o755)
            (Path(work) / "new").mkdir()
            new.rename(Path(work) / "new" / "tree")
            (Path(work) / "new").rename(place)
    return place / "tree", note


def _checked_out(folder: Path, commit: str, tree: Path) -> str:
    """Put the files of a commit into a new folder; what is to be said of them."""
    bare = all((folder / name).exists() for name in ("HEAD", "objects", "refs"))
    if not bare and not (folder / ".git").exists():
        shutil.copytree(folder, tree, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".git"))
        return f"{folder} is no git repository: its files are taken as they are."
    wanted = commit or "HEAD"
    if commit and not _COMMIT.fullmatch(commit):  # a record may say anything, options of git included
        raise TaskMissing(f"the record's base commit {commit[:60]!r} is none: it must be hexadecimal digits")
    # With an index of its own: the repository is only read. Not `git archive`, which leaves out and rewrites.
    env = {**os.environ, "GIT_INDEX_FILE": str(tree.with_name("index"))}
    git = ["git", "-C", str(folder.resolve())]
    if subprocess.run([*git, "read-tree", f"{wanted}^{{tree}}"], env=env, capture_output=True, check=False).returncode:
        raise TaskMissing(f"the repository {folder} has no commit {wanted}: git fetch it there, or give another --repo")
    tree.mkdir()
    command = [*git, "-c", "core.bare=false", f"--work-tree={tree}", "checkout-index", "--all", f"--prefix={tree}/"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TaskMissing(f"the files of {wanted} in {folder} cannot be taken out: {done.stderr.strip()[-200:]}")
    return "" if commit else f"The record names no base commit: the newest of {folder} is taken."
