"""`main JOBS`: runs chosen tests of the repository in the current directory.

Invariant: only this process tells results, and it runs no code of the repository: it forks, and its forks can neither
write to its standard output nor look into it. JOBS is gone before the first of them runs.

JOBS is a JSON object `{runner, options, source_files, test_files, once, word, jobs: [{files, targets, cpu_s, wall_s,
memory_mb, profile, reverse, record, calls, plan}]}`. Standard output gets a first line, one line per job in order
(`{end, code, changed, seconds, cpu_seconds, tests: [...]}`, compressed) and at last the word. The other side is
`envs.testing.runner`.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import sys
import zlib
from pathlib import Path

from .forks import supervise
from .guard import Fingerprint
from .processes import become_unreadable, others
from .pytest_runner import preload_pytest
from .tree import compile_once, placed, preload

READY = "ready"


def main(jobs_path: str, own_paths: list[str]) -> None:
    """See the module. `own_paths`: folders of the repository that its modules are imported from, beside its top."""
    become_unreadable()
    before = others()
    config = json.loads(Path(jobs_path).read_text())
    os.unlink(jobs_path)
    _tell(READY)
    paths = config["source_files"] + config["test_files"]
    if not config["once"]:
        compile_once(paths)
        preload(paths)
    config["own_paths"] = own_paths
    if config["runner"] == "pytest":
        preload_pytest()
    guarded = any(job.get("plan") is not None for job in config["jobs"])
    fingerprint = Fingerprint() if guarded else None
    gc.collect()
    gc.freeze()  # the forks share the parent's pages
    word = config.pop("word")
    for job in config.pop("jobs"):
        with placed(job["files"]):
            outcome = supervise(job, config, fingerprint, before)
        _tell(base64.b64encode(zlib.compress(json.dumps(outcome).encode(), 1)).decode())
    _tell(word)


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
