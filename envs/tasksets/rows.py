"""A task instance as a row: SWE-bench's columns with ours beside them.

Invariant: `from_row(to_row(task))` is the task, to the last byte. Whole files become diffs: `bug_patch` leads from the
repository at its base commit to what the agent is given (`setup` names its files), `test_patch` from there to the
hidden tests (`tests` names theirs). `derived` names the columns that are there for other harnesses only and say nothing
that the task itself does not say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import ValidationError

from envs.patch import PatchError, apply_patch, check_path, make_patch
from envs.task import TaskInstance
from envs.tasksets.harness import for_harnesses
from envs.tasksets.repositories import Base, Repositories, TaskSetError, source_of

TESTS = ("FAIL_TO_PASS", "PASS_TO_PASS")
_SPLITS = get_args(TaskInstance.model_fields["split"].annotation)
_NO_NAME = re.compile(r"[/\x00-\x1f\x7f]")
_LONGEST = 200
_FIELDS = frozenset(TaskInstance.model_fields) - {"setup", "tests"}


def to_row(task: TaskInstance, repositories: Repositories) -> dict[str, Any]:
    """The row of a task. Raises `TaskSetError`."""
    profile = repositories.find(task.profile, task.base_commit)
    row = task.model_dump(mode="json", exclude_defaults=True)
    try:
        _files_as_patches(row, task, repositories.reader(profile) if profile else None)
    except (PatchError, TaskSetError) as error:
        raise TaskSetError(f"{task.instance_id} cannot be written: {error}") from None
    added = for_harnesses(task, str(row.get("test_patch", "")), profile)
    if "test_patch" in row and not task.test_patch:
        added["test_patch"] = row["test_patch"]
    if profile is not None:
        row["source"] = source_of(profile)
    return {**row, **added, **({"derived": sorted(added)} if added else {})}


def _files_as_patches(row: dict[str, Any], task: TaskInstance, base: Base | None) -> None:
    """Replace the whole files of a row. Without the repository the patches create their files."""
    if base is None and (task.setup or task.tests):
        row["whole_files"] = True
    read: Base = base or (lambda path: None)
    if task.setup:
        if task.bug_patch:
            raise TaskSetError("it has a setup and a bug_patch, which say the same thing")
        row["setup"] = sorted(task.setup)
        row["bug_patch"] = make_patch({path: read(path) for path in task.setup}, task.setup)
    if task.tests:
        shown = {path: task.setup[path] if path in task.setup else read(path) for path in task.tests}
        diff = make_patch(shown, task.tests)
        if task.test_patch in ("", diff):
            row["tests"], row["test_patch"] = sorted(task.tests), diff


def from_row(row: Mapping[str, Any], repositories: Repositories) -> TaskInstance:
    """The task of a row that `to_row` made, or of one in SWE-bench's format. Raises `TaskSetError`."""
    name = check_id(row.get("instance_id"))
    unreal = set(_names(row.get("derived") or (), f"{name}: derived"))
    data = {key: value for key, value in row.items() if key in _FIELDS and key not in unreal}
    for key in TESTS:
        data[key] = test_ids(row.get(key), f"{name}: {key}")
    if not data["FAIL_TO_PASS"]:
        raise TaskSetError(f"{name}: FAIL_TO_PASS is empty: name a test that the repair makes pass")
    if data.get("split") not in _SPLITS:
        data.pop("split", None)  # `test`, `dev`: a benchmark's own
    if isinstance(data.get("difficulty"), str):
        del data["difficulty"]  # SWE-bench Verified's guess of a person's time
    try:
        if "setup" in row or "tests" in row:
            data |= _patches_as_files(row, repositories)
        task = TaskInstance.model_validate(data)
        for path in (*task.setup, *task.tests):
            check_path(path)
        return task
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TaskSetError(f"{name}: the field {where} is wrong: {first['msg'].lower()}") from None
    except (PatchError, TaskSetError) as error:
        raise TaskSetError(f"{name}: {error}") from None


def check_id(name: object) -> str:
    """An instance id, which names folders of sets, of logs, of episodes. Raises `TaskSetError`."""
    if not isinstance(name, str) or not name or name.startswith(".") or _NO_NAME.search(name) or len(name) > _LONGEST:
        shown = repr(name) if len(repr(name)) < _LONGEST else f"{repr(name)[:40]}..."
        raise TaskSetError(
            f"the instance id {shown} cannot name a folder: use at most {_LONGEST} letters, digits, '.', '_' and '-'"
        )
    return name


def _names(value: object, where: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise TaskSetError(f"{where} is no list of names: give a list of strings")
    return list(value)


def _patches_as_files(row: Mapping[str, Any], repositories: Repositories) -> dict[str, Any]:
    read: Base = lambda path: None  # noqa: E731
    if str(row.get("whole_files", "")).lower() != "true":
        read = repositories.base(
            str(row.get("profile", "")), str(row.get("base_commit", "")), str(row.get("source", ""))
        )
    data: dict[str, Any] = {}
    setup: dict[str, str] = {}
    if "setup" in row:
        data["setup"] = setup = _patched(read, row, "setup", "bug_patch")
        data["bug_patch"] = ""
    if "tests" in row:
        given = lambda path: setup[path] if path in setup else read(path)  # noqa: E731
        whole = isinstance(row["tests"], Mapping)
        data["tests"] = row["tests"] if whole else _patched(given, row, "tests", "test_patch")
    return data


def _patched(read: Base, row: Mapping[str, Any], names: str, column: str) -> dict[str, str]:
    """The files after the patch of a column: those that it touches and those that are named."""
    paths, patch = _names(row[names], names), str(row.get(column, ""))
    try:
        touched = apply_patch(read, patch)
    except PatchError as error:
        raise TaskSetError(f"the {column} does not apply: {error}") from None
    found = {path: touched[path] if path in touched else read(path) for path in {*paths, *touched}}
    gone = sorted(path for path, text in found.items() if text is None)
    if gone:
        raise TaskSetError(f"the {column} leaves no file {gone[0]}")
    return {path: text for path, text in found.items() if text is not None}


def test_ids(value: object, where: str) -> tuple[str, ...]:
    """Test ids from a list, or from the JSON of a list, as SWE-bench's data sets have them. Raises `TaskSetError`."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list | tuple) or not all(isinstance(test, str) for test in value):
        raise TaskSetError(f"{where} is no list of test ids: give a list of strings, or the JSON of one")
    return tuple(value)


test_ids.__test__ = False  # type: ignore[attr-defined]
