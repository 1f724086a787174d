"""Tasks of SWE-bench, SWE-Gym, SWE-smith and SWE-rebench, from their rows.

Invariant: every row becomes a task, is skipped with its reason counted, or is refused by an error that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.task import TaskInstance
from envs.tasksets.files import read_rows
from envs.tasksets.importers import swe_bench, swe_gym, swe_rebench, swe_smith
from envs.tasksets.importers.repair import Row
from envs.tasksets.repositories import TaskSetError
from envs.tasksets.rows import check_id

KINDS: dict[str, Callable[[Row], TaskInstance | None]] = {
    "swe-bench": swe_bench.task,
    "swe-gym": swe_gym.task,
    "swe-smith": swe_smith.task,
    "swe-rebench": swe_rebench.task,
}


@dataclass
class Imported:
    """What came of the rows."""

    tasks: list[TaskInstance] = field(default_factory=list)
    other_languages: int = 0
    bad: list[str] = field(default_factory=list)
    """A sentence for each row that was refused."""

    @property
    def repaired(self) -> int:
        """How many tasks had something mended."""
        return sum(bool(task.repairs) for task in self.tasks)


def import_rows(kind: str, rows: Iterable[Mapping[str, Any]], *, skip_bad: bool = False) -> Imported:
    """The tasks of rows. Raises `TaskSetError` for the first row that cannot be one, unless `skip_bad`."""
    if kind not in KINDS:
        raise TaskSetError(f"there is no data set kind {kind!r}: give one of {', '.join(KINDS)}")
    imported, seen = Imported(), set[str]()
    for number, data in enumerate(rows, 1):
        row = Row(number, data)
        try:
            task = KINDS[kind](row)
            if task is not None and check_id(task.instance_id) in seen:
                raise row.wrong("instance_id", "is that of an earlier row", "leave one of them out (--skip-bad)")
        except TaskSetError as error:
            if not skip_bad:
                raise
            imported.bad.append(str(error))
            continue
        if task is None:
            imported.other_languages += 1
        else:
            seen.add(task.instance_id)
            imported.tasks.append(task)
    return imported


def rows_of(source: str, split: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
    """The rows of a file, or of a data set on the hub by its name. Raises `TaskSetError`."""
    if Path(source).exists() or source.endswith((".json", ".jsonl", ".parquet")) or source.count("/") != 1:
        rows = read_rows(Path(source))
    else:
        from envs.tasksets.hub import hub_rows

        rows = hub_rows(source, split, limit)
    return rows[:limit]
