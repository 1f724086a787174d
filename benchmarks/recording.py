"""What it costs to know after each step what differs in the repository, and prints a table of milliseconds.

Run it: python -m benchmarks.recording [--backend local] [--json out.json]. Repositories of 200 and of 5,000 files; the
median of 60 edits and views and of 10 runs of one small test, with `record_diffs` and without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from contextrl.cli import show
from envs.swe import SWEEnv
from envs.task import RepoProfile, TaskInstance
from envs.tools import Action
from sandbox import open_backend
from sandbox.protocol import SandboxBackend

SIZES = (200, 5000)
STEPS, RUNS = 60, 10
TEST = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertTrue(True)\n"
COLUMNS = ("files", "recorded", "edit, ms", "view, ms", "run_tests, ms")


def write(tree: Path, files: int) -> RepoProfile:
    """A repository of so many files."""
    tree.parent.chmod(0o755)
    (tree / "pkg").mkdir(parents=True)
    (tree / "test_it.py").write_text(TEST)
    for number in range(files):
        (tree / f"pkg/m{number}.py").write_text(f"x = {number}\n" * 20)
    return RepoProfile(
        name=f"recorded-{files}",
        source=str(tree),
        base_commit=f"{files:040d}",
        tree=tree,
        python=Path(sys.executable),
        test_cmd="python -m unittest -v {tests}",
        test_files=("test_it.py",),
    )


async def measure(backend: SandboxBackend, profile: RepoProfile, record: bool) -> dict[str, float]:
    """Median milliseconds of each kind of step."""
    task = TaskInstance(
        instance_id="it",
        repo="it",
        base_commit=profile.base_commit,
        problem_statement="it",
        patch="",
        FAIL_TO_PASS=(),
        PASS_TO_PASS=(),
        profile=profile.name,
        test_targets=("test_it.py",),
    )
    env = SWEEnv([task], {profile.name: profile}, backend, max_turns=10_000, record_diffs=record)
    await env.areset(task)
    took: dict[str, list[float]] = {"edit": [], "view": [], "run_tests": []}

    async def step(name: str, **arguments: str) -> None:
        started = time.perf_counter()
        await env.astep(Action(name, arguments))
        took[name].append(1000 * (time.perf_counter() - started))

    for number in range(STEPS):
        await step(
            "edit", path="pkg/new.py", new=f"x = {number}\n", **({"old": f"x = {number - 1}\n"} if number else {})
        )
        await step("view", path="pkg/new.py")
    for _ in range(RUNS):
        await step("run_tests")
    await env.aclose()
    return {name: median(values) for name, values in took.items()}


async def table(name: str) -> list[tuple[object, ...]]:
    """The rows."""
    backend, rows = await open_backend(name), list[tuple[object, ...]]()
    try:
        for files in SIZES:
            with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
                profile = write(Path(folder) / "tree", files)
                for record in (False, True):
                    found = await measure(backend, profile, record)
                    rows.append((files, "yes" if record else "no", *(f"{value:.2f}" for value in found.values())))
    finally:
        await backend.close()
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="local")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = asyncio.run(table(options.backend))
    show.table(COLUMNS, rows, "nothing was measured")
    if options.json:
        options.json.write_text(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
