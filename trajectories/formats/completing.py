"""What an imported trajectory lacks and others know: its task, and what its patch touches.

Invariant: what the file says stays; only what is empty is filled in. Nothing here depends on when or where it is done,
so that importing twice gives the same record.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trajectories.formats.files import FormatError
from trajectories.records import Trajectory
from trajectories.touching.diffs import parse
from trajectories.touching.touched import touched

Source = Callable[[str, str], str | None]
"""The text of a file: base commit, path -> text, None where that is not known."""


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task instance."""

    base_commit: str = ""
    repo: str = ""
    problem_statement: str = ""
    fail_to_pass: Sequence[str] = ()


def completed(trajectory: Trajectory, task: TaskFacts | None = None, source: Source | None = None) -> Trajectory:
    """The trajectory with what its task says, and with the touched files, functions, their sources and the answer."""
    if task is not None:
        trajectory = _with_task(trajectory, task)
    if trajectory.functions or trajectory.files or not trajectory.patch:
        return trajectory
    known: dict[str, str] = {}
    if source is not None and trajectory.base_commit:
        paths = [item.old for item in parse(trajectory.patch) if item.old]
        known = {path: text for path in paths if (text := source(trajectory.base_commit, path)) is not None}
    seen = ("\n".join([*turn.tool_call.arguments.values(), turn.observation]) for turn in trajectory.turns)
    found = touched(trajectory.patch, known, seen)
    how = {"touched": "guessed from the episode"} if found.guessed else {}
    return trajectory.model_copy(
        update={
            "files": found.files,
            "functions": found.functions,
            "sources": found.sources,
            "answer": trajectory.answer or found.answer,
            "extra": trajectory.extra | how,
        }
    )


def id_in(trajectory: Trajectory, run: str) -> str:
    """The id that a trajectory has in a run: its own, or in another run another, always the same."""
    if trajectory.run == run:
        return trajectory.id
    return hashlib.sha256(f"{run}\n{trajectory.id}".encode()).hexdigest()[:32]


def into_run(trajectory: Trajectory, run: str) -> Trajectory:
    """The trajectory as one of a run."""
    return trajectory.model_copy(update={"run": run, "id": id_in(trajectory, run)})


def git_source(checkout: Path) -> Source:
    """The files of a git checkout, at any commit that it has. Raises `FormatError` where there is none."""
    if _git(checkout, "rev-parse", "--git-dir") is None:
        raise FormatError(f"{checkout} is no git checkout: give the folder of one that has the base commits")

    @lru_cache(maxsize=4096)
    def read(commit: str, path: str) -> str | None:
        return _git(checkout, "show", f"{commit}:{path}")

    return read


def _git(checkout: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(checkout), *words], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise FormatError("the program git is not here: install it, or leave --source out") from error
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _with_task(trajectory: Trajectory, task: TaskFacts) -> Trajectory:
    """What the task says; its own commit is a whole one, that of an id the start of one."""
    fuller = task.base_commit.startswith(trajectory.base_commit)
    update: dict[str, object] = {
        "base_commit": task.base_commit if fuller else trajectory.base_commit,
        "repo": trajectory.repo or task.repo,
        "problem_statement": task.problem_statement or trajectory.problem_statement,
    }
    if task.fail_to_pass:
        update["extra"] = trajectory.extra | {"FAIL_TO_PASS": list(task.fail_to_pass)}
        verdict = trajectory.verdict
        if verdict is not None and verdict.resolved and not verdict.fail_to_pass:
            passed = dict.fromkeys(task.fail_to_pass, "passed")
            update["verdict"] = verdict.model_copy(update={"fail_to_pass": passed})
    return trajectory.model_copy(update=update)
