"""Runs as root in a published image while ours is derived from it, with our Python: /testbed becomes what a task needs.

Invariant: afterwards /testbed belongs to the sandbox's user, all its files have one time, and its repository, if it is
one and the image has git, is a new one of a single commit. No other data of the old repository is left in the image,
and nothing outside of /testbed and /tmp can be written or gains rights.
"""

from __future__ import annotations

import glob
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator

TESTBED = "/testbed"
EPOCH = 946684800
"""1 January 2000, as in all trees of repositories: a later time would tell what was changed."""
_MESSAGE = "Initial commit"
_NAME, _EMAIL = "developer", "developer@localhost"


def main(user: int) -> None:
    """Prepare the image. What cannot be done ends the build with a sentence."""
    if os.path.islink(TESTBED) or not os.path.isdir(TESTBED):
        raise SystemExit(f"the image has no folder {TESTBED}, so no task can be played in it")
    with tempfile.TemporaryDirectory(dir="/") as home:
        os.chmod(home, 0o755)
        with open(f"{home}/.gitconfig", "w") as handle:
            handle.write("[safe]\n\tdirectory = *\n[core]\n\tlogAllRefUpdates = false\n\tfsmonitor = false\n")
        git = Git(home)
        tracked = git.tracked() if git.program and os.path.lexists(f"{TESTBED}/.git") else None
        forget(git)
        clean()
        close(user)
        own(user)
        set_times()
        if tracked is not None:
            git.commit(tracked, user)
            own(user)
            set_times()


class Git:
    """The image's git, with a configuration of ours beside the system's."""

    def __init__(self, home: str) -> None:
        self.program = shutil.which("git")
        self._env = {
            "HOME": home,
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "GIT_AUTHOR_DATE": f"{EPOCH} +0000",
            "GIT_COMMITTER_DATE": f"{EPOCH} +0000",
        }

    def __call__(self, *words: str, given: bytes = b"", user: int = 0) -> bytes:
        """What the command prints."""
        done = subprocess.run(
            [self.program or "git", *words],
            input=given,
            capture_output=True,
            env=self._env,
            cwd=TESTBED,
            user=user,
            group=user,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"git {' '.join(words[:2])} failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
        return done.stdout

    def tracked(self) -> list[bytes]:
        """The files of the repository and of those inside it."""
        found = []
        for folder in repositories():
            below = os.fsencode(os.path.relpath(folder, TESTBED))
            names = self("-C", folder, "ls-files", "-z").split(b"\0")
            found += [os.path.normpath(os.path.join(below, name)) for name in names if name]
        return [name for name in found if _is_file(os.path.join(os.fsencode(TESTBED), name))]

    def commit(self, tracked: list[bytes], user: int) -> None:
        """A new repository whose one commit holds these files. Plumbing alone: it runs no hook and writes no log."""
        self("init", "-q", "--template=", user=user)
        for key, value in (("user.name", _NAME), ("user.email", _EMAIL), ("core.logAllRefUpdates", "false")):
            self("config", key, value, user=user)
        self("symbolic-ref", "HEAD", "refs/heads/main", user=user)
        self("update-index", "--add", "-z", "--stdin", given=b"\0".join([*tracked, b""]), user=user)
        tree = self("write-tree", user=user).decode().strip()
        commit = self("commit-tree", tree, "-m", _MESSAGE, user=user).decode().strip()
        self("update-ref", "refs/heads/main", commit, user=user)
        self("repack", "-a", "-d", "-q", user=user)


def repositories() -> list[str]:
    """The folders below /testbed that hold a `.git`, outer ones first."""
    return [parent for parent, folders, files in os.walk(TESTBED) if ".git" in folders or ".git" in files]


def forget(git: Git) -> None:
    """Remove all data of the repositories: their own, where links of theirs lead, and clones elsewhere."""
    places, known = [f"{folder}/.git" for folder in repositories()], set()
    while places:
        place = os.path.realpath(places.pop())
        if place not in known and os.path.lexists(place):
            known.add(place)
            places += _led_to(place)
    shared: list[str] = []
    if git.program and os.path.lexists(f"{TESTBED}/.git"):  # a clone has its first commits, a shallow one its last
        shared = git("rev-list", "--max-parents=0", "--all").decode().split()[:3]
        shared += git("for-each-ref", "--count=3", "--format=%(objectname)").decode().split()
    for parent, folders, files in walk("/"):
        if "HEAD" in files and "objects" in folders and any(_holds(git, parent, commit) for commit in shared):
            known.add(parent)
    for folder in repositories():
        _remove(f"{folder}/.git")
    for place in known:
        _remove(place)


def _holds(git: Git, place: str, commit: str) -> bool:
    try:
        git("--git-dir", place, "cat-file", "-e", commit)
    except SystemExit:
        return False
    return True


def _led_to(place: str) -> list[str]:
    """Where else data of the repository with this `.git` lies: the one it is a worktree of, alternates, worktrees."""
    found = []
    base = os.path.dirname(place) if os.path.isfile(place) else place
    for name in (place, f"{place}/commondir", f"{place}/objects/info/alternates"):
        if os.path.isfile(name):
            relative = f"{place}/objects" if name.endswith("alternates") else base
            with open(name, errors="surrogateescape") as handle:
                lines = [line.strip() for line in handle if line.strip() and not line.startswith("#")]
            found += [os.path.join(relative, line.partition("gitdir:")[2].strip() or line) for line in lines]
    for name in glob.glob(f"{glob.escape(place)}/worktrees/*/gitdir"):
        with open(name, errors="surrogateescape") as handle:
            worktree = os.path.dirname(handle.read().strip())
        if worktree and not worktree.startswith(f"{TESTBED}/") and worktree not in ("/", TESTBED):
            found.append(worktree)
    return found


def clean() -> None:
    """Remove caches in which other versions of the sources may lie."""
    for pattern in ("/root/.cache", "/home/*/.cache", "/tmp/*", "/tmp/.[!.]*", "/var/tmp/*"):
        for path in glob.glob(pattern):
            _remove(path)
    for parent, folders, files in os.walk(TESTBED):
        for name in [name for name in folders if name == "__pycache__"]:
            folders.remove(name)
            _remove(os.path.join(parent, name))
        for name in files:
            if name.endswith((".pyc", ".pyo")):
                _remove(os.path.join(parent, name))


def close(user: int) -> None:
    """Make the user known, and take what would let it write elsewhere or gain rights."""
    for name, line in (("passwd", f"sandbox:x:{user}:{user}::/tmp:/bin/bash"), ("group", f"sandbox:x:{user}:")):
        os.makedirs("/etc", exist_ok=True)
        with open(f"/etc/{name}", "a") as handle:
            handle.write(line + "\n")
    for parent, folders, files in walk("/"):
        for name in folders + files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode) or path == "/tmp":
                continue
            if user in (status.st_uid, status.st_gid):
                os.chown(path, 0, 0)
            mode = stat.S_IMODE(status.st_mode)
            kept = mode & (0o7775 if stat.S_ISDIR(status.st_mode) else 0o1775)
            if mode != kept:
                os.chmod(path, kept)


def own(user: int) -> None:
    """Give /testbed to the user."""
    for path in below(TESTBED):
        mode = os.lstat(path).st_mode
        os.lchown(path, user, user)
        if not stat.S_ISLNK(mode):
            os.chmod(path, stat.S_IMODE(mode) & 0o777 | (0o700 if stat.S_ISDIR(mode) else 0o600))


def set_times() -> None:
    """Give all of /testbed one time."""
    for path in below(TESTBED):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def below(folder: str) -> list[str]:
    """The folder and all in it, what lies deeper first."""
    found = []
    for parent, folders, files in os.walk(folder, topdown=False):
        found += [os.path.join(parent, name) for name in files + folders]
    return [*found, folder]


def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Like `os.walk`, but stays in one file system and out of /testbed."""
    device = os.lstat(top).st_dev
    for parent, folders, files in os.walk(top):
        paths = {name: os.path.join(parent, name) for name in folders}
        folders[:] = [name for name, path in paths.items() if path != TESTBED and os.lstat(path).st_dev == device]
        yield parent, folders, files


def _is_file(path: bytes) -> bool:
    return os.path.islink(path) or os.path.isfile(path)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


if __name__ == "__main__":
    main(int(sys.argv[1]))
