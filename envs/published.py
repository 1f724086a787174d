"""Tasks whose repository lies ready in a published image: what stands in for their profile.

Invariant: nothing is assumed of the image but what the task's own evaluation script says: how its shell is made ready
and how its tests run.
"""

from __future__ import annotations

import re
import shlex

from envs.patch import PatchError, touched_files
from envs.task import LogParser, RepoProfile, TaskInstance

_READY = re.compile(r"(source|\.|conda|export|cd) ")
_START = ">>>>> Start Test Output"


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
