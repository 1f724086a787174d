"""The scripted expert of any repository: looks at what the gold patch touches, makes the gold patch, submits.

Invariant: it views every definition that it is going to edit before it edits it, as a careful agent would, so that its
trajectories can stand as contexts.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping

from agents.expert import Script
from envs.definitions import Definition, definitions, source_lines
from envs.grading.policy import shown_file
from envs.patch import apply_patch
from envs.task import RepoProfile, TaskInstance
from envs.tools import Action


def gold_script(profiles: Mapping[str, RepoProfile]) -> Script:
    """A script for tasks whose gold patch changes existing functions. `profiles`: name -> profile of the tasks."""

    def script(task: TaskInstance) -> Generator[Action, str, None]:
        profile = profiles[task.profile]
        repaired = apply_patch(lambda path: shown_file(task, profile, path), task.patch)
        edits = [e for path, text in sorted(repaired.items()) for e in _edits(task, profile, path, text)]
        for path, shown, _ in edits:
            yield Action("view", {"path": path, "start": str(shown.start + 1), "end": str(shown.end)})
        for path, shown, new in edits:
            yield Action("edit", {"path": path, "old": shown.text, "new": new})
        yield Action("submit", {})

    return script


def _edits(
    task: TaskInstance, profile: RepoProfile, path: str, text: str | None
) -> Generator[tuple[str, Definition, str], None, None]:
    """Outermost functions of a file that the gold patch changes, as they are shown, and their repaired text."""
    before = shown_file(task, profile, path) or ""
    after = {d.qualname: "".join(source_lines(text or "")[d.start : d.end]) for d in definitions(text or "")}
    for shown in definitions(before):
        if (
            shown.qualname in after
            and after[shown.qualname] != shown.text
            and f"{path}::{shown.qualname}" in task.functions
        ):
            yield path, shown, after[shown.qualname]
