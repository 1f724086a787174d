"""What one trajectory did, done to the task of another.

Invariant: nothing is run here, and the sources that are read are those that the task shows.
"""

from __future__ import annotations

from envs.definitions import DefinitionError, definitions, replace_definition, source_lines
from envs.grading.policy import shown_file
from envs.patch import PatchError, apply_patch, make_patch
from envs.task import RepoProfile, TaskInstance
from trajectories.records import Trajectory


def moved_patch(own: Trajectory, answer: str, task: TaskInstance, profile: RepoProfile) -> str:
    """What a trajectory did, as a patch to another task; empty where it cannot be done there.

    Where the pair asks about whole definitions, these are put in place of those of the same name: the patch's lines may
    be the same ones there and still stand among others. Otherwise the patch as it is, if it applies.
    """
    if profile.image or not profile.tree.name:  # the sources are in the image: the grader applies the patch there
        return own.patch
    try:
        if answer.strip() == own.answer.strip() and (moved := _transplanted(own, task, profile)):
            return moved
        apply_patch(lambda path: shown_file(task, profile, path), own.patch)
    except (PatchError, DefinitionError):
        return ""
    return own.patch


def _transplanted(own: Trajectory, task: TaskInstance, profile: RepoProfile) -> str:
    """The definitions of a trajectory's answer put into the files of another task, as a patch; empty if none fits."""
    before: dict[str, str | None] = {}
    after: dict[str, str | None] = {}
    lines = source_lines(own.answer)
    for path in own.files:
        text = shown_file(task, profile, path)
        here = {name.rpartition("::")[2] for name in own.functions if name.startswith(f"{path}::")}
        new = [d for d in definitions(own.answer) if d.qualname in {name.rpartition(".")[2] for name in here} | here]
        if text is None or not new:
            continue
        before[path] = text
        for definition in new:
            text = replace_definition(text, path, "".join(lines[definition.start : definition.end]))
        after[path] = text
    return make_patch(before, after) if before != after else ""
