"""Whether the labels of pairs hold when the patches are really run.

Invariant: a pair is called invalid only by a verdict of the grader on a task as it is shown. What cannot be run (a task
that is not known, a sandbox that failed) leaves the judgement as it was, and is said. Each patch is run on each task
once, however many pairs ask for it; what was verified is kept at once with its pair, and not run again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from contextrl.moved_patches import moved_patch
from contextrl.progress import Progress
from envs.grading import Grader, GradeReport
from envs.task import RepoProfile, TaskInstance
from sandbox.protocol import SandboxError
from trajectories.protocol import TrajectoryStore
from trajectories.records import ContextPair, Judgement, Trajectory
from trajectories.store import SQLStore

_SAID = 3
"""So many kinds of pairs that could not be run are told."""
HOLDS = "verify: the anchor's patch resolves its task and not the confounder's"


class Verified(NamedTuple):
    """What running the patches of a pair showed."""

    pair: ContextPair
    judgement: Judgement
    reason: str
    """Begins with `verify: `."""
    ran: bool = True


async def verify_pairs(
    pairs: Sequence[ContextPair],
    store: TrajectoryStore,
    tasks: Mapping[str, TaskInstance],
    profiles: Mapping[str, RepoProfile],
    grader: Grader,
    progress: Progress,
    *,
    workers: int = 2,
    on_verified: Callable[[Verified], object] = lambda one: None,
) -> list[Verified]:
    """Run both patches on both tasks, in the order of the pairs; `on_verified` is called as they are done.

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
            on_verified(found[place])
            fallen = sum(one.judgement == "invalid" for one in found.values())
            progress.update(len(found), len(pairs), f"{fallen} invalid")

    async with asyncio.TaskGroup() as group:
        for _ in range(min(workers, len(pairs))):
            group.create_task(work())
    return [found[place] for place in range(len(pairs))]


async def verify_stored(
    store: SQLStore, run: str, tasks: Mapping[str, TaskInstance], progress: Progress, *, backend: str = "auto"
) -> list[Verified]:
    """Verify the pairs of a run or set that are not invalid and were not verified before.

    Those whose label falls are retired, with the reason.
    """
    from contextrl.cli.grade import profiles_of
    from envs.grading.choose import TaskGrader
    from sandbox import open_backend

    alive = [p for p in store.pairs(run=run, retired=False) if p.judgement != "invalid"]
    pairs = [p for p in alive if not any(reason.startswith(HOLDS) for reason in p.reasons)]
    if not pairs:
        return []
    named = {c.instance_id for p in pairs for c in (p.anchor, p.confounder)}
    profiles = profiles_of([task for i, task in tasks.items() if i in named])
    sandboxes = await open_backend(backend)
    try:
        grader = TaskGrader(sandboxes)
        try:
            found = await verify_pairs(
                pairs, store, tasks, profiles, grader, progress, on_verified=lambda one: keep(store, run, one)
            )
        finally:
            await grader.close()
    finally:
        await sandboxes.close()
    for reason, count in Counter(one.reason for one in found if not one.ran).most_common(_SAID):
        progress.log(f"{count} pairs were left as they are; {reason}")
    return found


def keep(store: SQLStore, run: str, one: Verified) -> None:
    """Write down what was verified: a pair that fell is retired, one that was uncertain and holds may become valid."""
    if not one.ran:
        return
    if one.judgement == "invalid":
        store.retire_pairs([one.pair.id], one.reason)
    else:
        reasons = [*one.pair.reasons, one.reason]
        store.rejudge_pairs([one.pair.model_copy(update={"judgement": one.judgement, "reasons": reasons})])
    store.add_funnel(run, {"refuted" if one.judgement == "invalid" else "verified": 1})


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
            return _not_run(pair, f"the task {missing[0]} is not in the set")
        sides = [self._trajectories.get(c.trajectory_id) for c in (pair.anchor, pair.confounder)]
        if not sides[0] or not sides[0].patch.strip():
            return _not_run(pair, "the anchor's patch is not in the store")
        anchor, confounder = pair.anchor.instance_id, pair.confounder.instance_id
        try:
            own = await self._grade(anchor, sides[0].patch)
            across = await self._grade(confounder, self._moved(sides[0], pair.answer, confounder))
            back = None
            if sides[1] and sides[1].patch.strip():
                back = await self._grade(anchor, self._moved(sides[1], pair.confounder_answer, anchor))
        except (SandboxError, ValueError) as error:
            return _not_run(pair, str(error))
        if not own.resolved:
            return Verified(pair, "invalid", f"verify: the anchor's patch does not resolve its own task: {own.reason}")
        if across.resolved:
            return Verified(pair, "invalid", "verify: the anchor's patch resolves the confounder's task as well")
        said = HOLDS + (", the confounder's patch resolves both" if back and back.resolved else "")
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
        return moved_patch(own, answer, self._tasks[instance_id], self._profiles[instance_id])


def _not_run(pair: ContextPair, why: str) -> Verified:
    return Verified(pair, pair.judgement, f"verify: not run, {why}", ran=False)
