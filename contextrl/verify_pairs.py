"""Whether the labels of pairs hold when the patches are really run.

Invariant: a pair is called invalid only by a verdict of the grader on a task as it is shown. What cannot be run (a task
that is not known, a sandbox that failed) leaves the judgement as it was, and is said. Each patch is run on each task
once, however many pairs ask for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from contextrl.progress import Progress
from envs.definitions import DefinitionError, definitions, replace_definition, source_lines
from envs.grading import Grader, GradeReport
from envs.grading.policy import shown_file
from envs.patch import PatchError, apply_patch, make_patch
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import SandboxError
from trajectories.protocol import TrajectoryStore
from trajectories.records import ContextPair, Judgement, Trajectory
from trajectories.store import SQLStore


class Verified(NamedTuple):
    """What running the patches of a pair showed."""

    pair: ContextPair
    judgement: Judgement
    reason: str
    """Begins with `verify: `."""


async def verify_pairs(
    pairs: Sequence[ContextPair],
    store: TrajectoryStore,
    tasks: Mapping[str, TaskInstance],
    profiles: Mapping[str, RepoProfile],
    grader: Grader,
    progress: Progress,
    *,
    workers: int = 2,
) -> list[Verified]:
    """Run both patches on both tasks, in the order of the pairs.

    `tasks`, `profiles`: by instance id. Invalid is a pair whose anchor's patch does not resolve its own task, or
    resolves the confounder's too. A pair that was uncertain only because no right answer to the confounder's task is
    known becomes valid when the anchor's patch fails there.
    """
    ids = {context.trajectory_id for pair in pairs for context in (pair.anchor, pair.confounder)}
    runs = _Runs(store.get_many(ids, tokens=False), tasks, profiles, grader)
    found: dict[int, Verified] = {}
    waiting = iter(enumerate(pairs))

    async def work() -> None:
        for place, pair in waiting:
            found[place] = await runs.verify(pair)
            fallen = sum(one.judgement == "invalid" for one in found.values())
            progress.update(len(found), len(pairs), f"{fallen} invalid")

    async with asyncio.TaskGroup() as group:
        for _ in range(min(workers, len(pairs))):
            group.create_task(work())
    return [found[place] for place in range(len(pairs))]


async def verify_stored(
    store: SQLStore, run: str, tasks: Mapping[str, TaskInstance], progress: Progress, *, backend: str = "auto"
) -> list[Verified]:
    """Verify the pairs of a run or set that are not invalid; those whose label falls are retired, with the reason."""
    from contextrl.cli.grade import profiles_of
    from envs.grading.choose import TaskGrader
    from sandbox import open_backend

    pairs = [p for p in store.pairs(run=run, retired=False) if p.judgement != "invalid"]
    named = {c.instance_id for p in pairs for c in (p.anchor, p.confounder)}
    profiles = profiles_of([task for i, task in tasks.items() if i in named])
    sandboxes = await open_backend(backend)
    try:
        grader = TaskGrader(sandboxes)
        try:
            found = await verify_pairs(pairs, store, tasks, profiles, grader, progress)
        finally:
            await grader.close()
    finally:
        await sandboxes.close()
    keep(store, run, found)
    return found


def keep(store: TrajectoryStore, run: str, found: Iterable[Verified]) -> None:
    """Write down what was verified: invalid pairs are retired, uncertain ones that hold become valid."""
    found = list(found)
    for one in found:
        if one.judgement == "invalid":
            store.retire_pairs([one.pair.id], one.reason)
    changed = {"judgement": "valid"}
    store.add_pairs(
        one.pair.model_copy(update={**changed, "reasons": [*one.pair.reasons, one.reason]})
        for one in found
        if one.judgement == "valid" and one.pair.judgement == "uncertain"
    )
    fallen = sum(one.judgement == "invalid" for one in found)
    store.add_funnel(run, {"verified": len(found) - fallen, "refuted": fallen})


class _Runs:
    """Verdicts on patches, each asked for once."""

    def __init__(
        self,
        trajectories: Mapping[str, Trajectory],
        tasks: Mapping[str, TaskInstance],
        profiles: Mapping[str, RepoProfile],
        grader: Grader,
    ) -> None:
        self._trajectories, self._tasks, self._profiles, self._grader = trajectories, tasks, profiles, grader
        self._verdicts: dict[tuple[str, str], asyncio.Task[GradeReport]] = {}

    async def verify(self, pair: ContextPair) -> Verified:
        """Run what this pair needs."""
        missing = [c.instance_id for c in (pair.anchor, pair.confounder) if c.instance_id not in self._tasks]
        if missing:
            return Verified(pair, pair.judgement, f"verify: not run, the task {missing[0]} is not in the set")
        sides = [self._trajectories.get(c.trajectory_id) for c in (pair.anchor, pair.confounder)]
        if not sides[0] or not sides[0].patch.strip():
            return Verified(pair, pair.judgement, "verify: not run, the anchor's patch is not in the store")
        anchor, confounder = pair.anchor.instance_id, pair.confounder.instance_id
        try:
            own = await self._grade(anchor, sides[0].patch)
            across = await self._grade(confounder, self._moved(sides[0], pair.answer, confounder))
            back = None
            if sides[1] and sides[1].patch.strip():
                back = await self._grade(anchor, self._moved(sides[1], pair.confounder_answer, anchor))
        except (SandboxError, ValueError) as error:
            return Verified(pair, pair.judgement, f"verify: not run, {error}")
        if not own.resolved:
            return Verified(pair, "invalid", f"verify: the anchor's patch does not resolve its own task: {own.reason}")
        if across.resolved:
            return Verified(pair, "invalid", "verify: the anchor's patch resolves the confounder's task as well")
        said = "verify: the anchor's patch resolves its task and not the confounder's"
        if back and back.resolved:
            said += ", the confounder's patch resolves both"
        only_unknown = all(reason.startswith("other_answer: no right answer") for reason in pair.reasons)
        decided = pair.judgement == "uncertain" and pair.reasons and only_unknown
        return Verified(pair, "valid" if decided else pair.judgement, said)

    async def _grade(self, instance_id: str, patch: str) -> GradeReport:
        if not patch:
            return GradeReport(resolved=False, reason="the patch does not apply")
        key = (instance_id, patch)
        if key not in self._verdicts:
            asked = self._grader.grade(self._tasks[instance_id], self._profiles[instance_id], patch)
            self._verdicts[key] = asyncio.ensure_future(asked)
        return await asyncio.shield(self._verdicts[key])

    def _moved(self, own: Trajectory, answer: str, instance_id: str) -> str:
        """What a trajectory did, as a patch to another task; empty where it cannot be done there.

        Where the pair asks about whole definitions, these are put in place of those of the same name: the patch's
        lines may be the same ones there and still stand among others. Otherwise the patch as it is, if it applies.
        """
        task, profile = self._tasks[instance_id], self._profiles[instance_id]
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
