"""`add_repository`: from a source to a profile in the home folder.

Invariant: `home()/repos/<name>-<hash>/` is either complete or not there: it is made beside its place and renamed. The
hash covers the sources and everything that decides how they are tested, so equal contents are measured once.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from envs.repos.fetch import Fetched, fetch, tree_hash
from envs.repos.learned import FILE as LEARNED
from envs.repos.source import RepoError, check_name, parse_source
from envs.repos.store import exclusive, find_locked, read_profile, repos_folder
from envs.repos.study import STEPS, Study, Wanted
from envs.task import RepoProfile
from envs.testing.runner import Progress, driver_files, silent
from sandbox.protocol import SandboxBackend

FORMAT = 2
_ADDING = ".adding-"


def options_of(wanted: Wanted) -> dict[str, Any]:
    """What beside the sources decides the profile."""
    driver = hashlib.sha256(b"\0".join(driver_files().values())).hexdigest()[:12]
    words = {"name": wanted.name, "install": wanted.install, "test": wanted.test, "wanted": wanted.python}
    return {**words, "format": FORMAT, "driver": driver, "python": platform.python_version()}


async def add_repository(
    source: str,
    *,
    name: str | None = None,
    install: str | None = None,
    test: str | None = None,
    python: str | None = None,
    backend: SandboxBackend | None = None,
    workers: int = 2,
    on_progress: Progress = silent,
) -> RepoProfile:
    """Fetch a repository, find out how its tests run, run them in sandboxes, remember it all.

    `source` is `pypi:NAME==VERSION` (`#sha256=...` pins the archive), `git+URL@REVISION`, a folder, or
    `generated:seed=0,modules=200`. `install` is what the tests need where that cannot be detected (`.[dev]`: what the
    repository itself requires, with an extra), `test` the test command, `python` a version (`3.12`) or an interpreter.
    What is there already is returned at once.
    Raises `RepoError` with one sentence for a person, `SandboxError` when sandboxes fail.
    """
    parsed = parse_source(source)
    wanted = Wanted(parsed, check_name(parsed.name if name is None else name), install, test, python)
    known = find_locked(parsed.text, parsed.sha256, options_of(wanted)) if parsed.version else None
    if known is not None:
        on_progress(STEPS, STEPS, f"{known.name} {known.version} is ready")
        return known
    try:
        async with _opened(backend) as open_backend:
            return await _add(wanted, open_backend, workers, on_progress)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RepoError(f"no space is left below {repos_folder()}: make some, or set CONTEXTRL_HOME") from None
        raise


@asynccontextmanager
async def _opened(backend: SandboxBackend | None) -> AsyncIterator[SandboxBackend]:
    """The given backend, left open; or a local one of our own."""
    if backend is not None:
        yield backend
        return
    from sandbox import open_backend

    own = await open_backend("local")
    try:
        yield own
    finally:
        await own.close()


async def _add(wanted: Wanted, backend: SandboxBackend, workers: int, on_progress: Progress) -> RepoProfile:
    _clear_killed()
    with tempfile.TemporaryDirectory(prefix=f"{_ADDING}{os.getpid()}-", dir=repos_folder()) as work:
        place = Path(work)
        tree = place / "tree"
        (place / "work").mkdir()
        on_progress(0, STEPS, f"fetching {wanted.source.text}")
        fetched = await fetch(wanted.source, tree, place / "work")
        contents = await asyncio.to_thread(tree_hash, tree)
        folder = repos_folder() / f"{wanted.name}-{_key(contents, wanted)}"
        async with exclusive(folder.with_name(f".{folder.name}.lock")):
            if (folder / "profile.json").is_file():
                return read_profile(folder)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            tree.rename(folder / "tree")  # its final place: sandboxes and environments know it by its path
            try:
                study = Study(wanted, folder, backend, workers, on_progress)
                profile = await _measure(wanted, fetched, contents, folder, place / "work", study)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        on_progress(STEPS, STEPS, f"{profile.name} {profile.version}: {len(profile.covers)} functions have tests")
        return profile


def _clear_killed() -> None:
    """Remove what additions left that were killed."""
    for left in repos_folder().glob(f"{_ADDING}*-*"):
        pid = left.name.removeprefix(_ADDING).partition("-")[0]
        try:
            os.kill(int(pid), 0)
        except (ValueError, ProcessLookupError):
            shutil.rmtree(left, ignore_errors=True)
        except PermissionError:
            continue


def _key(contents: str, wanted: Wanted) -> str:
    return hashlib.sha256(f"{contents} {json.dumps(options_of(wanted), sort_keys=True)}".encode()).hexdigest()[:12]


async def _measure(
    wanted: Wanted,
    fetched: Fetched,
    contents: str,
    folder: Path,
    work: Path,
    study: Study,
) -> RepoProfile:
    """Study it, and write what was learned; the profile last."""
    profile, found, learned = await study.run(fetched, contents, work)
    update = {"flaky": found.flaky, "covers": found.covers, "test_seconds": round(found.seconds, 3)}
    profile = profile.model_copy(update=update)
    (folder / "times.json").write_text(json.dumps(found.times))
    (folder / "distances.json").write_text(json.dumps(found.distances))
    (folder / LEARNED).write_text(learned.model_dump_json(indent=1) + "\n")
    lock = {"source": wanted.source.text, **fetched.lock, "tree": contents, "options": options_of(wanted)}
    (folder / "source.json").write_text(json.dumps(lock, indent=2) + "\n")
    (folder / "profile.json.new").write_text(profile.model_dump_json(indent=1) + "\n")
    (folder / "profile.json.new").rename(folder / "profile.json")
    return profile
