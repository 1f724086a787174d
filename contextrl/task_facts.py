"""What task rows say of the instances that imported trajectories are about.

Invariant: rows of SWE-bench and its kin and task sets of ours are read alike; an instance not among them has none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.tasksets import TaskSetError
from envs.tasksets.files import read_rows
from envs.tasksets.registry import find_taskset
from trajectories.formats.completing import TaskFacts


def read_facts(given: str) -> dict[str, TaskFacts]:
    """Instance id -> what the rows of a file, or the tasks of a set, say. Raises `TaskSetError`."""
    path = Path(given).expanduser()
    rows = read_rows(path) if path.is_file() else [task.model_dump() for task in find_taskset(given)]
    try:
        return {str(row["instance_id"]): _facts(row) for row in rows}
    except (KeyError, ValueError) as error:
        raise TaskSetError(f"{given} holds a row that is no task ({type(error).__name__}: {error})") from error


def of_instance(facts: Mapping[str, TaskFacts], instance_id: str) -> TaskFacts | None:
    """The facts of an instance; some collections write a number after its id."""
    return facts.get(instance_id) or facts.get(re.sub(r"_\d+$", "", instance_id))


def _facts(row: Mapping[str, Any]) -> TaskFacts:
    tests = row.get("FAIL_TO_PASS") or []
    return TaskFacts(
        base_commit=str(row.get("base_commit") or ""),
        repo=str(row.get("repo") or ""),
        problem_statement=str(row.get("problem_statement") or ""),
        fail_to_pass=tuple(json.loads(tests) if isinstance(tests, str) else tests),
    )
