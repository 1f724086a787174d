"""Task sets by name: of the home folder, of a path, of installed packages.

Invariant: a name means one set. A package brings its own by an entry point of the group `contextrl.tasksets`, which
gives the folder of a set (a path or its text), its tasks, or a function that returns one of these.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from envs.task import TaskInstance
from envs.tasksets.files import load_rows
from envs.tasksets.layout import is_taskset
from envs.tasksets.reader import load_taskset
from envs.tasksets.repositories import TaskSetError
from sandbox.home import home

GROUP = "contextrl.tasksets"


def find_taskset(name: str) -> list[TaskInstance]:
    """The tasks of a set: the name of one in the home folder or of an entry point, a folder, or a file of rows.

    Raises `TaskSetError`.
    """
    if not name.strip():
        raise TaskSetError("no task set is named: `contextrl tasks ls` lists those here; a path to one will do as well")
    folder = taskset_folder(name)
    if folder is not None:
        return load_taskset(folder)
    path = Path(name).expanduser()
    if path.is_file():
        return load_rows(path)
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if found:
        return _load(found[0])
    raise TaskSetError(f"{name!r} is no task set: `contextrl tasks ls` lists those here; a path to one will do as well")


def is_known(name: str) -> bool:
    """Whether `find_taskset` would find a set, whatever is in it."""
    return bool(name.strip()) and (
        taskset_folder(name) is not None or Path(name).expanduser().is_file() or name in entry_point_names()
    )


def taskset_folder(name: str) -> Path | None:
    """Where a set lies, None for one that is no folder."""
    here = home() / "tasksets" / name
    path = Path(name).expanduser()
    return here if is_taskset(here) else path if path.is_dir() else None


def entry_point_names() -> list[str]:
    """Names of the sets that installed packages bring."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def _load(point: EntryPoint) -> list[TaskInstance]:
    try:
        given = point.load()
        given = given() if callable(given) else given
    except Exception as error:  # somebody else's code
        raise TaskSetError(
            f"the task set {point.name} of {point.value} fails: {type(error).__name__}: {error}"
        ) from error
    if isinstance(given, str | Path):
        return load_taskset(Path(given))
    tasks = list(given) if isinstance(given, list | tuple) else [given]
    if not all(isinstance(task, TaskInstance) for task in tasks):
        raise TaskSetError(
            f"the task set {point.name} of {point.value} gives no tasks: it must give a folder or a list"
        )
    return tasks
