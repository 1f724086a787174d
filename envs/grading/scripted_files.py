"""The files of a task with an evaluation script: what a patch may change, and the tests that are put over it.

Invariant: every file is read before anything of the policy's has run, and changed from outside as contents; neither git
nor any other program of the image has a part in it. What decides how tests are run does not come from the patch, unless
the gold patch changes that file too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from envs.grading.policy import decides_tests, meddling
from envs.grading.script import EvalScript, ScriptError, split_script
from envs.patch import ForbiddenPatch, PatchError, apply_patch, check_path, touched_files
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import Sandbox, SandboxFileError

_INSTALLS = {"setup.py"}
"""Run by the script's set-up, before the tests."""


@dataclass(frozen=True)
class Parts:
    """What grading one patch needs, before a sandbox is there."""

    script: EvalScript
    patch: str
    touched: tuple[str, ...]
    left_out: tuple[str, ...]
    """Files of the patch that do not count."""
    test_patch: str
    listed: tuple[str, ...]
    """Files of tests that the task's own lists name: where no test patch brings them, the image's own count."""
    task: TaskInstance
    profile: RepoProfile
    own_files: frozenset[str]
    """Files that the gold patch or the tests change too."""

    @property
    def paths(self) -> list[str]:
        """Files whose originals are needed."""
        others = (*touched_files(self.test_patch), *touched_files(self.task.bug_patch), *self.listed)
        return list(dict.fromkeys([*self.touched, *others]))

    def shown(self, originals: Mapping[str, str | None]) -> dict[str, str | None]:
        """Path -> contents of what the task changes in its image before anybody sees it. Raises `ScriptError`."""
        return {**self._own("bug_patch", self.task.bug_patch, originals), **self.task.setup}

    def files(self, originals: Mapping[str, str | None]) -> dict[str, str | None]:
        """Path -> contents of what the patch changes. Raises `PatchError`, with the reason, if it cannot count."""
        try:
            files = apply_patch(originals.get, self.patch)
        except PatchError as error:
            raise PatchError(f"the patch does not apply: {error}") from None
        for path, text in files.items():
            why = "" if path in self.own_files else meddling(self.profile, path, originals.get(path), text)
            if why:
                raise ForbiddenPatch(why)
        counted = {path: text for path, text in files.items() if path not in self.left_out}
        if not counted:
            raise PatchError(f"the patch touches only what decides how tests are run: {', '.join(self.left_out)}")
        return counted

    def tests(self, originals: Mapping[str, str | None]) -> dict[str, str | None]:
        """Path -> contents of the files of tests. Raises `ScriptError`: that is the task's fault, not the patch's."""
        listed = {path: originals[path] for path in self.listed if originals[path] is not None}
        return {**listed, **self._own("test_patch", self.test_patch, originals), **self.task.tests}

    def _own(self, name: str, patch: str, originals: Mapping[str, str | None]) -> dict[str, str | None]:
        try:
            return apply_patch(originals.get, patch)
        except PatchError as error:
            raise ScriptError(f"task {self.task.instance_id}: its {name} does not apply: {error}") from None


def parts_of(task: TaskInstance, profile: RepoProfile, patch: str) -> Parts:
    """Take a task and a patch apart. Raises `ScriptError` for the task's fault."""
    script = split_script(task.eval_script)
    test_patch = task.test_patch or script.patch
    try:
        listed = _listed(task)
        tests = {*touched_files(test_patch), *task.tests, *listed}
        touched_files(task.bug_patch)
        gold = set(touched_files(task.patch))
    except PatchError as error:
        raise ScriptError(f"task {task.instance_id}: its own patches cannot be read: {error}") from None
    touched = tuple(touched_files(patch))
    left_out = tuple(path for path in touched if path in tests or (path not in gold and _decides(task, profile, path)))
    return Parts(script, patch, touched, left_out, test_patch, listed, task, profile, frozenset(gold | tests))


def _listed(task: TaskInstance) -> tuple[str, ...]:
    """Files of the task's tests, where their ids say it: `tests/test_cart.py::test_total`."""
    named = (test.partition("::") for test in (*task.FAIL_TO_PASS, *task.PASS_TO_PASS))
    return tuple(dict.fromkeys(path for path, mark, _ in named if mark and path.endswith(".py") and _is_inside(path)))


def _is_inside(path: str) -> bool:
    try:
        return check_path(path) == path
    except PatchError:
        return False


def _decides(task: TaskInstance, profile: RepoProfile, path: str) -> bool:
    return path in _INSTALLS or decides_tests(task, profile, path)


async def read_texts(sandbox: Sandbox, paths: Iterable[str]) -> dict[str, str | None]:
    """Files as text, byte for byte; None where there is none. Raises `PatchError` for what is no regular file."""
    texts: dict[str, str | None] = {}
    for path in paths:
        try:
            texts[path] = (await sandbox.read(path)).decode("utf-8", "surrogateescape")
        except SandboxFileError as error:
            if "no such file" not in str(error).lower():
                raise PatchError(f"{path} cannot be patched: {error}") from None
            texts[path] = None
    return texts


async def put(sandbox: Sandbox, files: Mapping[str, str | None]) -> None:
    """Write files, delete those mapped to None."""
    await sandbox.write(
        {path: None if text is None else text.encode("utf-8", "surrogateescape") for path, text in files.items()}
    )
