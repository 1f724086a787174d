"""The task that a trajectory was played on, and the repository that it needs: from the store, a set, the home folder.

Invariant: a task is only replayed against sources of its own base commit, or what stands in for them is said; what
cannot be had is told in one sentence that says what is missing and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from envs.repos.store import list_profiles
from envs.task import RepoProfile, TaskInstance
from envs.tasksets.layout import is_taskset
from envs.tasksets.reader import load_taskset
from envs.tasksets.registry import find_taskset
from envs.tasksets.repositories import Repositories, TaskSetError, source_of
from sandbox.home import home
from trajectories.protocol import TrajectoryStore
from trajectories.records import Trajectory
from trajectories.replay.folders import TaskMissing, kept_tree

__all__ = ["Ground", "TaskMissing", "find_ground", "plain_task"]


@dataclass(frozen=True)
class Ground:
    """What a trajectory is replayed on."""

    task: TaskInstance
    profile: RepoProfile | None
    """None: the task lies ready in its image."""
    graded: bool = True
    """Whether the task says how to grade."""
    note: str = ""


def find_ground(
    trajectory: Trajectory,
    *,
    store: TrajectoryStore | None = None,
    tasks: str | None = None,
    repo: Path | None = None,
    imported: bool = False,
) -> Ground:
    """The task and its repository. Raises `TaskMissing`, `TaskSetError`, `RepoError`.

    `tasks`: a task set by name; `repo`: a folder with the repository, a git repository or the files as they were;
    `imported`: the trajectory is another program's, so that its repository alone is of use.
    """
    found = _found(trajectory, store=store, tasks=tasks, repo=repo, imported=imported)
    then, now = trajectory.base_commit, found.task.base_commit
    if repo is None and then and now and not now.startswith(then):
        note = f"The record is of the base commit {then[:12]}, its task of {now[:12]}."
        return replace(found, note=f"{found.note} {note}".strip())
    return found


def _found(
    trajectory: Trajectory,
    *,
    store: TrajectoryStore | None = None,
    tasks: str | None = None,
    repo: Path | None = None,
    imported: bool = False,
) -> Ground:
    if repo is not None:
        return _of_folder(trajectory, repo)
    if tasks is not None:
        found = _of(find_taskset(tasks), trajectory)
        if found is None:
            raise TaskMissing(f"the task set {tasks} has no task {trajectory.instance_id}: give another --tasks")
        return _ready(found, None)
    document = store.task(trajectory.instance_id, trajectory.run) if store is not None else None
    if document is not None:
        return _of_document(document, trajectory, imported)
    if (task := _at_home(trajectory)) is not None:
        return _ready(task, None)
    if imported and (profile := _fitting(trajectory)) is not None:
        return Ground(plain_task(trajectory, profile), profile, graded=False)
    fitting = f" and no repository at commit {trajectory.base_commit[:12] or 'of its own'}" if imported else ""
    raise TaskMissing(
        f"there is no task {trajectory.instance_id} in the store or in the home folder{fitting}: "
        f"give --tasks SET{', or --repo FOLDER' if imported else ''}"
    )


def plain_task(trajectory: Trajectory, profile: RepoProfile) -> TaskInstance:
    """A task that shows the repository as it is, and that nobody can grade."""
    return TaskInstance(
        instance_id=trajectory.instance_id,
        repo=trajectory.repo,
        base_commit=trajectory.base_commit or profile.base_commit,
        problem_statement=trajectory.problem_statement,
        patch="",
        FAIL_TO_PASS=(),
        PASS_TO_PASS=(),
        profile=profile.name,
        network=trajectory.network,
    )


def _of_document(document: Mapping[str, Any], trajectory: Trajectory, imported: bool) -> Ground:
    values = dict(document)
    profile = values.pop("profile_document", None)
    try:
        task = TaskInstance.model_validate({"patch": "", "problem_statement": "", **values})
        known = RepoProfile.model_validate(profile) if profile else None
    except ValidationError as error:
        raise TaskMissing(
            f"the store's task {trajectory.instance_id} cannot be read ({error.errors()[0]['msg']}): give --tasks SET"
        ) from None
    if not task.profile and not task.image:
        if imported and (fitting := _fitting(trajectory)) is not None:
            return Ground(plain_task(trajectory, fitting), fitting, graded=False)
        raise TaskMissing(
            f"the task {task.instance_id} names neither a repository nor an image: give --tasks SET, of a set made by "
            "`contextrl tasks import`, or --repo FOLDER"
        )
    return _ready(task, known)


def _ready(task: TaskInstance, known: RepoProfile | None) -> Ground:
    """The task with the profile of the home folder, else the one that came with it."""
    graded = bool(task.FAIL_TO_PASS or task.eval_script or task.hidden)
    if not task.profile:
        return Ground(task, None, graded)
    profile = Repositories().find(task.profile, task.base_commit)
    if profile is None and known is not None and (known.image or known.tree.is_dir()):
        profile = known
    if profile is None:
        source = source_of(known) if known is not None else "SOURCE"
        raise TaskMissing(
            f"the repository {task.profile} at commit {task.base_commit[:12]} is not on this machine: "
            f"contextrl repo add {source} --name {task.profile}"
        )
    return Ground(task, profile, graded)


def _of(tasks: list[TaskInstance], trajectory: Trajectory) -> TaskInstance | None:
    """The task of a trajectory; some collections write a number after the instance id."""
    by_id = {task.instance_id: task for task in tasks}
    plain = re.sub(r"_\d+$", "", trajectory.instance_id)
    return by_id.get(trajectory.instance_id) or by_id.get(plain)


def _at_home(trajectory: Trajectory) -> TaskInstance | None:
    for folder in _sets_with(trajectory.instance_id):
        try:
            found = _of(load_taskset(folder), trajectory)
        except TaskSetError:
            continue  # of a repository that is not here any more; another set may do
        if found is not None:
            return found
    return None


def _sets_with(instance_id: str) -> Iterator[Path]:
    """The task sets of the home folder that have this task, the latest first. Only their folders are looked at."""
    names = {instance_id, re.sub(r"_\d+$", "", instance_id)}
    folders = [path for path in (home() / "tasksets").glob("*") if is_taskset(path)]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        if any((folder / "tasks" / name).is_dir() for name in names):
            yield folder


def _named(trajectory: Trajectory) -> list[RepoProfile]:
    """The repositories of the home folder, those of the trajectory's name first."""
    name = trajectory.repo.rpartition("/")[2].lower()
    return sorted(list_profiles(), key=lambda profile: profile.name.lower() != name)


def _fitting(trajectory: Trajectory) -> RepoProfile | None:
    """The repository of the home folder at the trajectory's base commit."""
    commit = trajectory.base_commit
    return next((p for p in _named(trajectory) if commit and p.base_commit == commit), None)


def _of_folder(trajectory: Trajectory, folder: Path) -> Ground:
    if not folder.is_dir():
        raise TaskMissing(f"{folder} is no folder: give --repo the folder that the repository lies in")
    tree, note = kept_tree(folder, trajectory.base_commit)
    name = trajectory.repo.rpartition("/")[2] or folder.resolve().name
    known = next((p for p in _named(trajectory) if p.name.lower() == name.lower() and not p.image), None)
    if known is None:
        known = RepoProfile(name=name, source="", base_commit="", test_cmd="python -m pytest -rA {tests}")
        note += f" What {name} needs is not installed: `contextrl repo add {folder} --name {name}` does that first."
    else:
        note += f" It runs with what the repository {known.name} of the home folder needs."
    # its commit is the hash of the contents: the name of an image must tell one tree from another
    profile = known.model_copy(update={"source": str(folder), "base_commit": tree.parent.name, "tree": tree})
    return Ground(plain_task(trajectory, profile), profile, graded=False, note=note.strip())
