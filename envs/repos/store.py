"""The repositories in the home folder.

Invariant: a folder counts if and only if it has a `profile.json`, which is written last.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from envs.repos.source import RepoError
from envs.task import RepoProfile
from sandbox.home import home


def repos_folder() -> Path:
    """Where they lie; made if missing."""
    folder = home() / "repos"
    folder.mkdir(exist_ok=True)
    return folder


@asynccontextmanager
async def exclusive(lock: Path, poll_s: float = 0.1) -> AsyncIterator[None]:
    """One process at a time, by a lock that its death releases."""
    with lock.open("w") as held:
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(poll_s)
        yield


def read_profile(folder: Path) -> RepoProfile:
    """The profile in a folder. Raises `RepoError` where it cannot be read."""
    try:
        return RepoProfile.model_validate_json((folder / "profile.json").read_text())
    except (OSError, ValidationError):
        raise RepoError(f"{folder / 'profile.json'} cannot be read: delete {folder} and add it again") from None


def test_times(profile: RepoProfile) -> dict[str, float]:
    """Test id -> seconds, as measured when the repository was added; empty where that is not known."""
    path = profile.tree.parent / "times.json"
    return {test: float(s) for test, s in json.loads(path.read_text()).items()} if path.is_file() else {}


def call_distances(profile: RepoProfile, function: str) -> dict[str, int]:
    """Test id -> calls from it to a function, the shortest way; empty where that is not known."""
    steps = _distances(profile.tree.parent / "distances.json").get(function, ())
    return dict(zip(profile.covers.get(function, ()), steps, strict=False))


@functools.lru_cache(maxsize=4)
def _distances(path: Path) -> dict[str, list[int]]:
    """The folder of a repository is written once."""
    found: dict[str, list[int]] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def list_profiles() -> list[RepoProfile]:
    """All of them, the latest first."""
    found = sorted(repos_folder().glob("*/profile.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [read_profile(path.parent) for path in found]


def load_profile(name: str) -> RepoProfile:
    """The profile of that name, the latest where there are several. Raises `RepoError`."""
    profiles = list_profiles()
    for profile in profiles:
        if profile.name == name:
            return profile
    names = ", ".join(sorted({profile.name for profile in profiles})) or "none"
    raise RepoError(f"there is no repository {name!r} here (there are: {names}): contextrl repo add SOURCE")


def find_locked(source: str, sha256: str, options: dict[str, Any]) -> RepoProfile | None:
    """The profile that this pinned source, with the same options, gave before. Raises `RepoError` on another hash."""
    for path in repos_folder().glob("*/source.json"):
        lock = json.loads(path.read_text())
        if lock["source"] != source or lock["options"] != options or not path.with_name("profile.json").is_file():
            continue
        if sha256 and lock["sha256"] != sha256:
            raise RepoError(f"{source} has sha256 {lock['sha256']}, not the {sha256} that was asked for")
        return read_profile(path.parent)
    return None
