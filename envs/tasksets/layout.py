"""Where things lie in the folder of a task set: the task-repository layout of SWE-bench 5, and ours beside it."""

from __future__ import annotations

from pathlib import Path

FORMAT = 2
CONFIG, TASK, TESTS_FILE, HIDDEN = "sweb.yaml", "task.yaml", "tests.json", "hidden.json"
FILES = {
    "patch": "gold.patch",
    "test_patch": "test.patch",
    "problem_statement": "problem_statement.md",
    "eval_script": "eval.sh",
}
"""Columns of a row that have a file of their own; the rest stands in `task.yaml` and `tests.json`."""
OPTIONAL = {"hints_text": "hints.md", "bug_patch": "bug.patch"}
"""Those that are written only where there is something to write."""


def is_taskset(folder: Path) -> bool:
    """Whether there is a task set in a folder."""
    return (folder / CONFIG).is_file()
