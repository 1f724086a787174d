"""Tasks whose repository lies ready in a published image: what stands in for their profile, and how the bug gets there.

Invariant: nothing is assumed of the image but what the task's own evaluation script says: how its shell is made ready
and how its tests run.
"""

from __future__ import annotations

import re
import shlex

from envs.git_objects import EPOCH, IDENTITY
from envs.patch import PatchError, apply_patch, touched_files
from envs.task import LogParser, RepoProfile, TaskInstance
from sandbox.protocol import Sandbox, SandboxError, SandboxFileError

_READY = re.compile(r"(source|\.|conda|export|cd) ")
_START = ">>>>> Start Test Output"

_WHO = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in IDENTITY.items()}
_ANEW = f"""
rm -rf .git
if command -v git >/dev/null; then
    git -c init.defaultBranch=main init --quiet --template=
    git add --all && git commit --quiet --message 'Initial commit'
    rm -f .git/COMMIT_EDITMSG && rm -rf .git/logs
fi
find . -exec touch --no-dereference --date=@{EPOCH} -- {{}} +
"""


def published_profile(task: TaskInstance) -> RepoProfile:
    """A profile that serves an agent in the task's image. Raises `ValueError` where the task names none."""
    if not task.image:
        raise ValueError(f"task {task.instance_id} names neither a profile nor an image: import or make it again")
    command, parser = _test_command(task)
    return RepoProfile(
        name=task.repo.replace("/", "__"),
        source=task.image,
        base_commit=task.base_commit,
        version=task.version,
        image=task.image,
        test_cmd=command,
        log_parser=parser,
        test_files=_test_files(task),
    )


def _test_command(task: TaskInstance) -> tuple[str, LogParser]:
    """The script's own test command behind what makes its shell ready; pytest's takes other tests as well."""
    lines = [line.strip() for line in task.eval_script.splitlines()]
    start = next((i for i, line in enumerate(lines) if _START in line), len(lines))
    tested = [line for line in lines[start + 1 :] if line and not line.startswith((":", "git ", "echo "))]
    ready = list(dict.fromkeys(line for line in lines[:start] if _READY.match(line)))
    command = tested[0] if tested else "python -m pytest -rA {tests}"
    if "pytest" not in command:
        return " && ".join([*ready, command]), "unittest"
    files = set(_test_files(task))
    words = [word for word in shlex.split(command) if word not in files]
    words = words if "{tests}" in words else [*words, "{tests}"]
    return " && ".join([*ready, shlex.join(words).replace("'{tests}'", "{tests}")]), "pytest"


def _test_files(task: TaskInstance) -> tuple[str, ...]:
    try:
        return tuple(path for path in touched_files(task.test_patch) if path.endswith(".py"))
    except PatchError:
        return ()


async def break_image(sandbox: Sandbox, task: TaskInstance) -> dict[str, bytes | None]:
    """Put into a published image what its task changes there, and make its repository anew where that is anything.

    The image as it is has a fresh repository already, but of its own state: of the repaired one.
    """
    paths = touched_files(task.bug_patch)
    texts = {path: await _text(sandbox, path) for path in paths}
    after = {**apply_patch(texts.get, task.bug_patch), **task.setup}
    changed = {path: None if text is None else text.encode() for path, text in after.items()}
    if changed:
        await sandbox.write(changed)
        result = await sandbox.run(["/bin/sh", "-c", _ANEW], env=_WHO)
        if result.exit_code:
            raise SandboxError(f"the repository of {task.instance_id} cannot be made: {result.output[-200:]}")
    return changed


async def _text(sandbox: Sandbox, path: str) -> str | None:
    try:
        return (await sandbox.read(path)).decode()
    except SandboxFileError:
        return None
