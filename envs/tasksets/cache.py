"""Task sets that this machine has made: made once, read back at once.

Invariant: the cache's key covers everything that decides the tasks: repository, options, our code, the interpreter. A
set is there whole or not at all; what an interrupted making has found out waits in a journal of the same key.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from envs.repos.store import exclusive
from envs.synthesis.journal import Journal
from envs.synthesis.options import TaskOptions
from envs.synthesis.tasks import make_tasks
from envs.task import RepoProfile, TaskInstance
from envs.tasksets.folder import save_taskset
from envs.tasksets.layout import FORMAT, is_taskset
from envs.tasksets.reader import load_taskset
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

    One that was interrupted, by whatever, goes on where it was. Raises `ValueError` for options out of range and for
    tests that cannot all run together, `ModelError` where a model does not answer, `SandboxError` when sandboxes fail.
    """
    folder = taskset_folder(profile, options)
    folder.parent.mkdir(exist_ok=True)
    async with exclusive(folder.with_name(f".{folder.name}.lock")):
        if is_taskset(folder):
            tasks = load_taskset(folder, profiles=[profile])
            on_progress(len(tasks), len(tasks), f"{len(tasks)} tasks of {profile.name} are ready")
            return tasks
        making = folder.with_name(f".making-{folder.name}")
        funnel: Counter[str] = Counter()
        with Journal(making / "journal.jsonl") as journal:
            tasks = await make_tasks(
                profile,
                options,
                backend=backend,
                workers=workers,
                on_progress=on_progress,
                funnel=funnel,
                journal=journal,
            )
        made = {"profile": profile.name, "base_commit": profile.base_commit, "options": options.told()}
        made |= {"funnel": dict(funnel.most_common()), **_about(journal)}
        if options.model is not None:
            made["model"] = {"name": options.model.model, **asdict(journal.usage)}
        save_taskset(tasks, folder, made, profiles=[profile])
        shutil.rmtree(making, ignore_errors=True)
        return tasks


def taskset_folder(profile: RepoProfile, options: TaskOptions) -> Path:
    """Where the task set of a repository for these options lies, or will lie."""
    return home() / "tasksets" / f"{profile.name}-{_key(profile, options)}"


def _about(journal: Journal) -> dict[str, Any]:
    """What the runs cost, and which tests count for nothing anywhere."""
    cost = round(sum(verdict.cpu_seconds for verdict in journal.verdicts.values()), 1)
    if journal.baseline is None:
        return {"cpu_seconds": cost}
    suite = {"tests": len(journal.baseline.passing), "cpu_seconds": round(journal.baseline.cpu_seconds, 3)}
    return {"cpu_seconds": cost, "suite": suite, "flaky": list(journal.baseline.flaky)}


def _key(profile: RepoProfile, options: TaskOptions) -> str:
    """16 hexadecimal digits over all that decides the tasks."""
    digest = hashlib.sha256(f"{FORMAT} {platform.python_implementation()} {platform.python_version()}".encode())
    digest.update(json.dumps(options.deciding(), sort_keys=True).encode())
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
