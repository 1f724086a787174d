"""Real harness runs, graded again: does our verdict say what the official report says, test by test?

    python -m benchmarks.harness_runs DATA_FOLDER

DATA_FOLDER has `grader/` (runs of the SWE-bench harness: `<instance>/{test_output.txt,report.json}` and
`instances.jsonl`) and `swesmith/` (SWE-smith's own test logs and reports), or one of the two. Prints a table; exits 1
on any difference, and when there is nothing to compare.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.grading import swesmith_verdict
from envs.grading.swebench_verdict import END, START, contradicted, judge
from envs.task import TaskInstance


@dataclass(frozen=True)
class Compared:
    """One run: how many tests its report lists, and what ours says otherwise."""

    name: str
    resolved: bool
    tests: int
    differences: tuple[str, ...]


def harness_runs(folder: Path) -> Iterator[Compared]:
    """Runs of the SWE-bench harness."""
    rows = folder / "instances.jsonl"
    for line in rows.read_text(encoding="utf-8").splitlines() if rows.is_file() else ():
        task = _task(json.loads(line))
        log = _text(folder / task.instance_id / "test_output.txt")
        wanted = json.loads(_text(folder / task.instance_id / "report.json"))[task.instance_id]
        ours = judge(task, log, task.patch).report
        output = log.partition(START)[2].partition(END)[0]
        against = [f"{test}: passed and failed in one log" for test in contradicted(task, output)]
        yield _compared(task.instance_id, wanted, ours, against)


def swesmith_runs(folder: Path) -> Iterator[Compared]:
    """SWE-smith's evaluations and its validation."""
    logs = folder / "test_logs"
    for path in sorted(logs.glob("run_evaluation/*/report.json")):
        wanted = json.loads(_text(path))
        wanted.pop("model_name_or_path")
        lists = {name: [*part["success"], *part["failure"]] for name, part in wanted["tests_status"].items()}
        log = _text(path.with_name("test_output.txt"))
        ours = swesmith_verdict.evaluation_report(log, lists["FAIL_TO_PASS"], lists["PASS_TO_PASS"])
        yield _compared(path.parent.name, wanted, ours)
    report = logs / "run_validation" / "report.json"
    if report.is_file():
        wanted = json.loads(_text(report))
        with_bug, without = (_text(report.with_name(f"test_output{part}.txt")) for part in ("", "_pre_gold"))
        found = swesmith_verdict.validation_report(with_bug, without)
        different = [name for name in wanted if sorted(wanted[name]) != sorted(found[name])]
        yield Compared("validation of a bug", False, sum(map(len, wanted.values())), tuple(different))


def _compared(name: str, wanted: dict[str, Any], ours: Any, against: list[str] | None = None) -> Compared:
    """All of what the official report says; a newer harness may say more."""
    differences = [key for key in wanted if key != "tests_status" and wanted[key] != ours.get(key)]
    found = ours.get("tests_status", {})
    for kind, part in wanted.get("tests_status", {}).items():
        for side, tests in part.items():
            other = set(tests) ^ set(found.get(kind, {}).get(side, []))
            differences += [f"{kind} {side}: {test}" for test in sorted(other)]
    tests = sum(len(tests) for part in wanted.get("tests_status", {}).values() for tests in part.values())
    return Compared(name, wanted["resolved"], tests, (*differences, *(against or ())))


def _task(row: dict[str, Any]) -> TaskInstance:
    lists = {name: tuple(json.loads(row[name])) for name in ("FAIL_TO_PASS", "PASS_TO_PASS")}
    same = ("instance_id", "repo", "base_commit", "problem_statement", "patch", "test_patch", "version")
    return TaskInstance(**{name: row[name] for name in same}, **lists)


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "backslashreplace")


def compare(folder: Path) -> list[Compared]:
    """All runs in a data folder."""
    return [*harness_runs(folder / "grader"), *swesmith_runs(folder / "swesmith")]


def main() -> int:
    """Compare, print, and tell by the exit code."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print("usage: python -m benchmarks.harness_runs DATA_FOLDER", file=sys.stderr)
        return 2
    runs = compare(Path(sys.argv[1]))
    print(f"{'run':<42} {'official':<10} {'tests':>5}  ours")
    for run in runs:
        word = "resolved" if run.resolved else "unresolved"
        print(f"{run.name:<42} {word:<10} {run.tests:>5}  {'; '.join(run.differences[:3]) or 'the same'}")
    different = sum(bool(run.differences) for run in runs)
    print(f"{len(runs)} runs, {sum(run.tests for run in runs)} tests, {different} runs differ")
    return 1 if different or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
