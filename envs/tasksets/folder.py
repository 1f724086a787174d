"""Task sets on disk, in the task-repository layout of SWE-bench 5: folders that a person can read and git can diff.

Invariant: `load_taskset(folder)` gives the tasks that `save_taskset` was given, to the last byte and in their order. A
folder is complete or not there, and `swebench dataset check` finds nothing wrong with it.

`sweb.yaml` says how the set was made and where its repositories come from. Each task has a folder below `tasks/`: the
columns of its row (`envs.tasksets.rows`) that are long lie in files of their own, the others in `task.yaml`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from envs.task import RepoProfile, TaskInstance
from envs.tasksets.harness import image_name, repository_dockerfile, task_dockerfile
from envs.tasksets.layout import CONFIG, FILES, FORMAT, HIDDEN, OPTIONAL, TASK, TESTS_FILE, is_taskset
from envs.tasksets.repositories import Repositories, TaskSetError, source_of
from envs.tasksets.rows import TESTS, check_id, to_row

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def save_taskset(
    tasks: Iterable[TaskInstance],
    folder: Path,
    meta: Mapping[str, Any] | None = None,
    *,
    profiles: Iterable[RepoProfile] = (),
    sources: bool = False,
) -> None:
    """Write tasks into a new folder; an old task set there is replaced, in one step.

    `profiles`: repositories of the tasks; those of the home folder are found by name. With `sources` the folder also
    gets what the image of each repository is built from. Raises `TaskSetError`.
    """
    tasks = list(tasks)
    repositories = Repositories(profiles)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists() and not is_taskset(folder):
        raise TaskSetError(f"{folder} is there and is no task set: choose another folder")
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder.parent) as work:
        new = Path(work) / "new"
        (new / "tasks").mkdir(parents=True)
        dataset = f"contextrl/{folder.name}"
        for task in tasks:
            _write_task(new / "tasks" / check_id(task.instance_id), task, dataset, repositories)
        found = {(task.profile, task.base_commit): repositories.find(task.profile, task.base_commit) for task in tasks}
        used = [profile for profile in found.values() if profile is not None]
        (new / CONFIG).write_text(_yaml(_config(tasks, used, dataset, meta)), encoding="utf-8")
        if sources:
            for profile in used:
                _write_sources(new / "repositories" / profile.name, profile)
        if folder.exists():
            folder.rename(Path(work) / "old")
        new.rename(folder)


def _config(
    tasks: list[TaskInstance], profiles: list[RepoProfile], dataset: str, meta: Mapping[str, Any] | None
) -> dict[str, Any]:
    ids = [task.instance_id for task in tasks]
    ours: dict[str, Any] = {"format": FORMAT, "tasks": len(ids)}
    ours["splits"] = dict(Counter(task.split or "none" for task in tasks))
    ours["repositories"] = [
        {"name": p.name, "source": source_of(p), "base_commit": p.base_commit, "version": p.version} for p in profiles
    ]
    if ids != sorted(ids):
        ours["order"] = ids
    if meta:
        ours["made"] = json.loads(json.dumps(meta))
    splits = sorted({task.split or "test" for task in tasks})
    return {"datasets": [dataset], "splits": splits or ["test"], "contextrl": ours}


def _write_task(folder: Path, task: TaskInstance, dataset: str, repositories: Repositories) -> None:
    row = to_row(task, repositories)
    row.pop("source", None)  # once in sweb.yaml
    tests = {key: row.pop(key, []) for key in TESTS}
    row = {"version": "", "split": "test", "datasets": [dataset], **row}
    if row["image"] != image_name(task.instance_id):
        row["published_image"], row["image"] = row["image"], image_name(task.instance_id)
    texts = {name: row.pop(column, "") for column, name in FILES.items()}
    texts |= {name: row.pop(column) for column, name in OPTIONAL.items() if row.get(column)}
    texts["Dockerfile"] = task_dockerfile(task)
    texts[TESTS_FILE] = _json(tests)
    if "hidden" in row:
        texts[HIDDEN] = _json(row.pop("hidden"))
    texts[TASK] = _yaml(row)
    try:
        folder.mkdir()
        for name, text in texts.items():
            (folder / name).write_bytes(text.encode())
    except FileExistsError:
        raise TaskSetError(f"two tasks have the instance id {task.instance_id!r}") from None
    except UnicodeEncodeError:
        raise TaskSetError(f"{task.instance_id} cannot be written: it holds text that is no Unicode") from None


def _write_sources(folder: Path, profile: RepoProfile) -> None:
    shutil.copytree(profile.tree, folder / "testbed", symlinks=True)
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in profile.requirements))
    (folder / "Dockerfile").write_text(repository_dockerfile(profile))


def _yaml(data: Mapping[str, Any]) -> str:
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=True, allow_unicode=True, width=120))


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
