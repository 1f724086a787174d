"""What task rows say of the instances that imported trajectories are about.

Invariant: rows of SWE-bench and its kin and task sets of ours are read alike; an instance not among them has none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.task import TaskInstance
from envs.tasksets import TaskSetError
from envs.tasksets.files import read_rows
from envs.tasksets.registry import find_taskset
from trajectories.formats.completing import TaskFacts


def read_documents(given: str) -> dict[str, dict[str, Any]]:
    """Instance id -> the row of a file, or the task of a set, as a store keeps it. Raises `TaskSetError`."""
    path = Path(given).expanduser()
    rows = read_rows(path) if path.is_file() else [task.model_dump(mode="json") for task in find_taskset(given)]
    try:
        return {str(row["instance_id"]): _document(row) for row in rows}
    except (KeyError, ValueError) as error:
        raise TaskSetError(f"{given} holds a row that is no task ({type(error).__name__}: {error})") from error


def facts_of(document: Mapping[str, Any]) -> TaskFacts:
    """What a document says that an imported trajectory may lack."""
    return TaskFacts(
        base_commit=str(document.get("base_commit") or ""),
        repo=str(document.get("repo") or ""),
        problem_statement=str(document.get("problem_statement") or ""),
        fail_to_pass=tuple(document["FAIL_TO_PASS"]),
    )


def of_instance(documents: Mapping[str, dict[str, Any]], instance_id: str) -> dict[str, Any] | None:
    """The document of an instance; some collections write a number after its id."""
    return documents.get(instance_id) or documents.get(re.sub(r"_\d+$", "", instance_id))


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task, with lists of tests where rows have them as text."""
    kept = {name: row[name] for name in TaskInstance.model_fields if row.get(name) is not None}
    for name in ("FAIL_TO_PASS", "PASS_TO_PASS"):
        tests = row.get(name) or []
        kept[name] = list(json.loads(tests) if isinstance(tests, str) else tests)
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str))  # Parquet has dates
    return plain
