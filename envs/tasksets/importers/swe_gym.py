"""SWE-Gym: SWE-bench's columns, eleven other repositories, images of its own."""

from __future__ import annotations

from envs.task import TaskInstance
from envs.tasksets.importers.repair import Row
from envs.tasksets.importers.scripts import Runner
from envs.tasksets.importers.swe_bench import benchmark_task


def task(row: Row) -> TaskInstance:
    """The task of a row. Raises `TaskSetError`."""
    name = row.text("instance_id").replace("__", "_s_").lower()
    return benchmark_task(row, row.repo(), Runner(), f"xingyaoww/sweb.eval.x86_64.{name}:latest")
