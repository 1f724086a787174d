"""Task sets from disk: what `envs.tasksets.folder` wrote, and the task repositories of SWE-bench 5.

Invariant: YAML guesses nothing here: every value is text until the task's own fields say what it is. Whatever is wrong
with a folder is one sentence that names the task and the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from envs.task import RepoProfile, TaskInstance
from envs.tasksets.layout import CONFIG, FILES, FORMAT, HIDDEN, OPTIONAL, TASK, TESTS_FILE
from envs.tasksets.repositories import Repositories, TaskSetError
from envs.tasksets.rows import from_row

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def about(folder: Path) -> dict[str, Any]:
    """What `sweb.yaml` says, all values as text. Raises `TaskSetError`."""
    path = folder / CONFIG
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        old = " (it has the layout of an older version: make it again)" if (folder / "taskset.json").is_file() else ""
        raise TaskSetError(f"{folder} is no task set: it has no {CONFIG}{old}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise TaskSetError(f"{path} cannot be read: {_first_line(error)}") from None
    if not isinstance(found, dict) or not _is_ours(found.get("contextrl", {})):
        raise TaskSetError(f"{path} cannot be read: it holds no mapping of the known form; make the set again")
    return dict(found)


def _is_ours(part: object) -> bool:
    """Whether the part that is only ours has its form; it is not there in a set of somebody else."""
    if not isinstance(part, dict) or not isinstance(part.get("splits", {}), dict):
        return False
    order, repositories = part.get("order", []), part.get("repositories", [])
    texts = isinstance(order, list) and all(isinstance(name, str) for name in order)
    return texts and isinstance(repositories, list) and all(isinstance(r, dict) for r in repositories)


def how_made(folder: Path) -> dict[str, Any]:
    """What `save_taskset` was given as `meta`; empty for a set of somebody else. Raises `TaskSetError`."""
    about(folder)
    try:
        found: dict[str, Any] = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
        return dict(found.get("contextrl", {}).get("made") or {})
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise TaskSetError(f"{folder / CONFIG} cannot be read: {_first_line(error)}") from None


def load_taskset(folder: Path, *, profiles: Iterable[RepoProfile] = ()) -> list[TaskInstance]:
    """Read a folder in the layout of SWE-bench 5, ours or another's. Raises `TaskSetError`.

    `profiles`: repositories of the tasks; those of the home folder are found by name.
    """
    ours = about(folder).get("contextrl", {})
    if ours and ours.get("format") != str(FORMAT):
        raise TaskSetError(f"{folder} has task set format {ours.get('format')}; this version reads {FORMAT}")
    names = {path.name for path in (folder / "tasks").glob("*") if path.is_dir()}
    if ours and ours.get("tasks") != str(len(names)):
        raise TaskSetError(
            f"{folder} should hold {ours.get('tasks')} tasks but has {len(names)}: get it again, or, if you took some "
            f"out or put some in, write their number in {CONFIG} (contextrl: tasks)"
        )
    sources = {str(r.get("name")): str(r.get("source")) for r in ours.get("repositories", ())}
    repositories = Repositories(profiles, sources)
    order = [name for name in ours.get("order", ()) if name in names]
    ordered = [*order, *sorted(names - set(order))]
    return [_load_task(folder / "tasks" / name, repositories) for name in ordered]


def _load_task(folder: Path, repositories: Repositories) -> TaskInstance:
    try:
        if folder.is_symlink():
            raise TaskSetError("it is a link: a task set holds folders, since a link may show files of this machine")
        row = _read_row(folder)
        if row.get("instance_id") != folder.name:
            raise TaskSetError(f"its instance_id is {row.get('instance_id')!r}: it must be the folder's name")
        return from_row(row, repositories)
    except TaskSetError as error:
        raise TaskSetError(f"{folder}: {error}") from None


def _read_row(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = _parsed(folder / TASK, lambda text: yaml.load(text, Loader=_Loader), dict)
    row |= _parsed(folder / TESTS_FILE, json.loads, dict)
    for column, name in FILES.items():
        if column not in row.get("derived", ()) or column == "test_patch":
            row[column] = _text(folder / name)
    for column, name in OPTIONAL.items():
        if os.path.lexists(folder / name):
            row[column] = _text(folder / name)
    if os.path.lexists(folder / HIDDEN):
        row["hidden"] = _parsed(folder / HIDDEN, json.loads, list)
    row["image"] = row.pop("published_image", row.get("image", ""))
    return row


def _parsed(path: Path, parse: Callable[[str], Any], kind: type) -> Any:
    try:
        found = parse(_text(path))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, TaskSetError):
            raise
        raise TaskSetError(f"{path.name} cannot be read: {_first_line(error)}") from None
    if not isinstance(found, kind):
        raise TaskSetError(f"{path.name} cannot be read: it holds no {'mapping' if kind is dict else 'list'}")
    return found


def _text(path: Path) -> str:
    if path.is_symlink() or (path.exists() and not path.is_file()):  # `/dev/zero`, somebody's keys
        raise TaskSetError(f"{path.name} is no regular file: put its text there (a link may show this machine's files)")
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        raise TaskSetError(f"it has no {path.name}") from None
    except UnicodeDecodeError:
        raise TaskSetError(f"{path.name} is not text in UTF-8") from None


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
