"""`main JOBS RESULTS`: runs chosen tests of the repository in the current directory.

JOBS is a JSON object `{runner, source_files, test_files, jobs: [{files, targets, cpu_s, wall_s, memory_mb, profile,
reverse, record, calls}]}`; RESULTS gets one JSON line per job, in order: `{end, seconds, cpu_seconds, tests: [...]}`.
The other side is `envs.testing.runner`.
"""

from __future__ import annotations

import gc
import importlib
import json
from pathlib import Path

from .forks import supervise
from .tree import compile_once, placed, preload


def main(jobs_path: str, results_path: str) -> None:
    """See the module."""
    config = json.loads(Path(jobs_path).read_text())
    paths = config["source_files"] + config["test_files"]
    compile_once(paths)
    preload(paths)
    if config["runner"] == "pytest":
        importlib.import_module("pytest")
    gc.collect()
    gc.freeze()  # the forks share the parent's pages
    with Path(results_path).open("w") as results:
        for job in config["jobs"]:
            with placed(job["files"]):
                outcome = supervise(job, config)
            results.write(json.dumps(outcome) + "\n")
            results.flush()
