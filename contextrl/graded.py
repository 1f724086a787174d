"""Predictions, graded: one result each, kept as they come, and the report in swebench's form.

Invariant: `submitted == resolved + unresolved + error + empty + unknown`; a failure of ours is an error, never a
verdict, and is tried again by the next run. What stands in the results file is not run again.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contextrl.predictions import Prediction, Predictions, is_empty
from envs.grading import Grader, GradeReport
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import SandboxError

RULES = 1
"""Raised when the same patch of the same task may get another verdict than before."""
_TRIES = 2
Update = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Result:
    """One prediction's: `outcome` is resolved, unresolved, empty or error."""

    instance_id: str
    key: str
    """What it was the answer to: the task, the patch, the rules."""
    outcome: str
    model: str = ""
    reason: str = ""
    tampered: bool = False
    seconds: float = 0.0
    tests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """FAIL_TO_PASS and PASS_TO_PASS: test id -> passed, failed, error, skipped or missing."""


class Results:
    """The results file: one JSON object a line, only ever added to, by one run at a time."""

    def __init__(self, path: Path) -> None:
        """Raises `ValueError` where another run adds to it, or where it holds something else."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lines = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)  # our death releases it
        except BlockingIOError:
            self._lines.close()
            raise ValueError(f"another run is adding to {path}: wait for it, or choose another --out") from None
        self.found = {result.key: result for result in _read(path) if result.outcome != "error"}
        """What an earlier run has found, by key."""
        self._cut = not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0

    def add(self, result: Result) -> None:
        """Keep it."""
        self._lines.write("\n" * self._cut + _line(result))
        self._lines.flush()
        self._cut = False

    def close(self) -> None:
        """Let another run have it."""
        self._lines.close()


def _read(path: Path) -> Iterable[Result]:
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            data = json.loads(line)
        except ValueError:  # the line that an interruption cut
            continue
        try:
            yield Result(**data)
        except TypeError:
            raise ValueError(f"{path}, line {number}, is no result of a grading: choose another --out") from None


def _line(result: Result) -> str:
    return json.dumps(asdict(result), ensure_ascii=True) + "\n"


async def grade_all(
    tasks: Mapping[str, TaskInstance],
    profiles: Mapping[str, RepoProfile],
    predictions: Predictions,
    grader: Grader,
    results: Results,
    *,
    workers: int = 2,
    on_progress: Update,
) -> list[Result]:
    """A result for every known prediction, in their order. `profiles`: by instance id."""
    asked = {name: _key(tasks[name], prediction) for name, prediction in predictions.known.items()}
    done = {name: results.found[key] for name, key in asked.items() if key in results.found}
    slots = asyncio.Semaphore(workers)
    on_progress(len(done), len(asked), f"{len(done)} from before" if done else "")

    async def one(name: str) -> None:
        async with slots:
            prediction = predictions.known[name]
            done[name] = result = await _graded(tasks[name], profiles[name], prediction, grader, asked[name])
        results.add(result)
        on_progress(len(done), len(asked), f"{name}: {result.outcome}")

    async with asyncio.TaskGroup() as group:
        for name in asked:
            if name not in done:
                group.create_task(one(name))
    return [done[name] for name in asked]


async def _graded(task: TaskInstance, profile: RepoProfile, prediction: Prediction, grader: Grader, key: str) -> Result:
    name, model = task.instance_id, prediction.model
    if is_empty(prediction):
        return Result(name, key, "empty", model, "the patch is empty")
    try:
        report = await _patiently(task, profile, prediction.patch, grader)
    except (SandboxError, ValueError, OSError) as error:
        return Result(name, key, "error", model, " ".join(str(error).split()) or type(error).__name__)
    return Result(
        name,
        key,
        "resolved" if report.resolved else "unresolved",
        model,
        report.reason,
        report.tampered,
        round(report.seconds, 3),
        tests={"FAIL_TO_PASS": report.fail_to_pass, "PASS_TO_PASS": report.pass_to_pass},
    )


async def _patiently(task: TaskInstance, profile: RepoProfile, patch: str, grader: Grader) -> GradeReport:
    for _ in range(_TRIES - 1):
        try:
            return await grader.grade(task, profile, patch)
        except SandboxError:
            continue
    return await grader.grade(task, profile, patch)


def _key(task: TaskInstance, prediction: Prediction) -> str:
    text = f"{RULES}\0{task.model_dump_json()}\0{prediction.model}\0{prediction.patch}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def summary(tasks: Iterable[str], predictions: Predictions, results: Iterable[Result]) -> dict[str, Any]:
    """The report of a run with the keys of swebench's (schema version 2) and ours: tampered, unknown, notes."""
    results = list(results)
    by = {outcome: sorted(r.instance_id for r in results if r.outcome == outcome) for outcome in _OUTCOMES}
    ids = {
        "completed_ids": sorted([*by["resolved"], *by["unresolved"]]),
        "incomplete_ids": sorted(set(tasks) - set(predictions.known)),
        "empty_patch_ids": by["empty"],
        "submitted_ids": sorted([*predictions.known, *predictions.unknown]),
        "resolved_ids": by["resolved"],
        "unresolved_ids": by["unresolved"],
        "error_ids": by["error"],
        "tampered_ids": sorted(r.instance_id for r in results if r.tampered),
        "unknown_ids": sorted(predictions.unknown),
    }
    counted = ("submitted", "completed", "resolved", "unresolved", "empty_patch", "error", "tampered")
    return {
        "total_instances": len(set(tasks)),
        **{f"{name}_instances": len(ids[f"{name}_ids"]) for name in counted},
        **ids,
        "failure_reasons": {r.instance_id: r.reason for r in results if r.outcome == "error"},
        "notes": list(predictions.notes),
        "schema_version": 2,
    }


_OUTCOMES = ("resolved", "unresolved", "empty", "error")
