"""What of a patch counts.

Invariant: what counts are text files inside the repository of which none decides how tests are found, run or reported.
The rest is left out, so an honest repair with a test beside it stays a repair; what has no honest purpose is meddling.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from envs.grading.configuration import changes_how_tests_run, takes_hold_of_pytest
from envs.grading.protocol import MAX_PATCH_CHARS
from envs.patch import ForbiddenPatch, PatchError, apply_patch
from envs.task import RepoProfile, TaskInstance

_CONFIGURATION = {"pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml"}
_HOOKS = {"sitecustomize.py", "usercustomize.py"}
_RUNNERS = {"pytest", "_pytest", "pluggy", "unittest", "hypothesis", "xdist", "py", "iniconfig"}
_GIT = {".gitattributes", ".gitmodules", ".mailmap"}
_TEST_FOLDERS = {"test", "tests"}


class NothingCounts(PatchError):
    """A patch of which nothing is left once what does not count is taken out."""

    def __init__(self, dropped: tuple[str, ...]) -> None:
        verb = "decides" if len(dropped) == 1 else "decide"
        only = f" but {', '.join(dropped)}, which {verb} how tests are run" if dropped else ""
        super().__init__(f"the patch changes nothing{only}")
        self.dropped = dropped


@dataclass(frozen=True)
class Counted:
    """A patch, sifted."""

    files: Mapping[str, str | None]
    """Path -> contents of what it changes and what counts."""
    dropped: tuple[str, ...] = ()
    """Paths that were left out."""
    meddling: str = ""
    """What in it has no honest purpose; empty for an honest one."""


def count_patch(task: TaskInstance, profile: RepoProfile, patch: str) -> Counted:
    """Sift a patch to what the task shows. Raises `PatchError`, with the reason, for one that cannot count at all."""
    if not patch.strip():
        raise PatchError("the patch is empty")
    if len(patch) > MAX_PATCH_CHARS:
        raise PatchError(f"the patch is longer than {MAX_PATCH_CHARS} characters")
    try:
        files = apply_patch(lambda path: shown_file(task, profile, path), patch)
    except ForbiddenPatch as error:
        return Counted({}, meddling=str(error))
    except PatchError as error:
        raise PatchError(f"the patch does not apply: {error}") from None
    before = {path: shown_file(task, profile, path) for path in files}
    suspects = (why for path, text in files.items() if (why := meddling(profile, path, before[path], text)))
    dropped = tuple(path for path in files if decides_tests(task, profile, path))
    counted = {path: text for path, text in files.items() if path not in dropped}
    found = next(suspects, "")
    if not found and not any(before[path] != text for path, text in counted.items()):
        if not files:
            raise PatchError("the patch is no diff: no line of it names a file as git does")
        raise NothingCounts(dropped)
    return Counted(counted, dropped, found)


def decides_tests(task: TaskInstance, profile: RepoProfile, path: str) -> bool:
    """Whether a file is a test or could change how tests are found and run."""
    pure = PurePosixPath(path)
    return (
        path in task.tests
        or path in profile.test_files
        or not _TEST_FOLDERS.isdisjoint(pure.parts[:-1])
        or pure.name == "conftest.py"
        or pure.name in _CONFIGURATION | _HOOKS | _GIT
        or pure.suffix == ".pth"
        or pure.parts[0].removesuffix(".py") in _RUNNERS
    )


def meddling(profile: RepoProfile, path: str, before: str | None, after: str | None) -> str:
    """What is wrong with changing a file so, one sentence; empty where there can be an honest purpose."""
    pure = PurePosixPath(path)
    if pure.name in _HOOKS or pure.suffix == ".pth":
        return f"the patch makes {path}, which every Python would run at its start"
    if pure.name in _GIT:
        return f"the patch touches {path}, which programs of git obey"
    if pure.name == "conftest.py" and takes_hold_of_pytest(after or ""):
        return f"the patch takes hold of pytest in {path}"
    if pure.name in _CONFIGURATION and changes_how_tests_run(pure.name, before or "", after or ""):
        return f"the patch changes in {path} how tests are run"
    if before is None and _shadows(profile, pure):
        return f"the patch makes {path}, which would stand in for another module"
    return ""


def _shadows(profile: RepoProfile, path: PurePosixPath) -> bool:
    """Whether a new file would be imported in place of the standard library, the runner or a requirement."""
    parts = path.parts[1:] if path.parts[0] in ("src", "lib") and len(path.parts) > 1 else path.parts
    name = parts[0].removesuffix(".py")
    own = {known.split("/")[0].removesuffix(".py") for known in profile.source_files}
    installed = {line.partition("==")[0].strip().lower().replace("-", "_") for line in profile.requirements}
    return path.suffix == ".py" and name not in own and name.lower() in sys.stdlib_module_names | _RUNNERS | installed


def shown_file(task: TaskInstance, profile: RepoProfile, path: str) -> str | None:
    """A file as the task shows it: from its set-up, else from the repository. Raises `PatchError` for no text."""
    if path in task.setup:
        return task.setup[path]
    file = profile.tree / path
    if not file.resolve().is_relative_to(profile.tree.resolve()) or file.is_dir():
        raise PatchError(f"{path} is not a regular file of the repository")
    if any(parent != profile.tree and parent.is_file() for parent in file.parents):
        raise PatchError(f"a folder of {path} is a file of the repository")
    try:
        return file.read_bytes().decode() if file.is_file() else None
    except UnicodeDecodeError:
        raise PatchError(f"{path} is not a text file") from None
