"""Task sets that this machine has made: made once, read back at once.

Invariant: the cache's key covers everything that decides the tasks: repository, options, our code, the interpreter.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from envs.repos.store import exclusive
from envs.synthesis.tasks import TaskOptions, make_tasks
from envs.task import RepoProfile, TaskInstance
from envs.tasksets.folder import FORMAT, load_taskset, save_taskset
from envs.testing.runner import Progress, silent
from sandbox.home import home
from sandbox.protocol import SandboxBackend

_CODE = ("synthesis", "repos", "testing", "generated", "patch.py", "definitions.py", "task.py")


async def taskset(
    profile: RepoProfile,
    options: TaskOptions,
    *,
    backend: SandboxBackend,
    workers: int = 2,
    on_progress: Progress = silent,
) -> list[TaskInstance]:
    """The tasks of a repository for these options, from the cache where it has them.

    Raises `ValueError` for options out of range, `SandboxError` when sandboxes fail.
    """
    folder = home() / "tasksets" / f"{profile.name}-{_key(profile, options)}"
    folder.parent.mkdir(exist_ok=True)
    async with exclusive(folder.with_name(f".{folder.name}.lock")):
        if (folder / "taskset.json").is_file():
            tasks = load_taskset(folder)
            on_progress(len(tasks), len(tasks), f"{len(tasks)} tasks of {profile.name} are ready")
            return tasks
        funnel: Counter[str] = Counter()
        tasks = await make_tasks(
            profile, options, backend=backend, workers=workers, on_progress=on_progress, funnel=funnel
        )
        made = {"profile": profile.name, "base_commit": profile.base_commit, "options": asdict(options)}
        save_taskset(tasks, folder, {**made, "funnel": dict(funnel.most_common())})
        return tasks


def _key(profile: RepoProfile, options: TaskOptions) -> str:
    """16 hexadecimal digits over all that decides the tasks."""
    digest = hashlib.sha256(f"{FORMAT} {platform.python_implementation()} {platform.python_version()}".encode())
    digest.update(json.dumps(asdict(options), sort_keys=True).encode())
    digest.update(profile.model_dump_json(exclude={"tree", "python", "test_seconds"}).encode())
    for path in _code_files():
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _code_files() -> list[Path]:
    here = Path(__file__).parent.parent
    found = [path for name in _CODE for path in [here / name, *(here / name).glob("**/*.py")]]
    return sorted(path for path in found if path.is_file())


def by_split(tasks: Sequence[TaskInstance]) -> dict[str, list[TaskInstance]]:
    """Tasks by split, in their order."""
    found: dict[str, list[TaskInstance]] = {}
    for task in tasks:
        found.setdefault(task.split, []).append(task)
    return found
