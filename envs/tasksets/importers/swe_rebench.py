"""SWE-rebench: every row says its image, its test command and its parser."""

from __future__ import annotations

from envs.task import TaskInstance
from envs.tasksets.importers.repair import Row
from envs.tasksets.importers.scripts import PYTEST, Runner
from envs.tasksets.importers.swe_bench import benchmark_task, is_python


def task(row: Row) -> TaskInstance | None:
    """The task of a row; None for one in another language. Raises `TaskSetError`."""
    if not is_python(row):
        return None
    config = row.mapping("install_config")
    command = config.get("test_cmd") or ""
    if isinstance(command, list):
        command = " && ".join(map(str, command))
    if not command:
        row.repairs.append(f"its install_config names no test_cmd: its tests run with `{PYTEST}`")
    parser = str(config.get("log_parser") or "parse_log_pytest")
    image = row.text("docker_image", required=False) or row.text("image_name", required=False)
    if not image:
        image = f"swerebench/sweb.eval.x86_64.{row.text('instance_id').replace('__', '_1776_')}".lower()
        row.repairs.append(f"its image was missing: {image}, by the scheme of the data set's own names")
    return benchmark_task(row, row.repo(), Runner(str(command) or PYTEST, parser), image)
