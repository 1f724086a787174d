"""Mining on request: `contextrl pairs mine`.

Invariant: what is asked for is checked before anything is mined; all pairs of a set were mined in one way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contextrl.progress import Progress
from sandbox.home import home
from trajectories.mining.bulk import BulkOptions, mine_store
from trajectories.mining.options import MinerOptions
from trajectories.mining.plan import LeftOut
from trajectories.mining.relatedness import EmbeddingRelatedness, Relatedness
from trajectories.mining.sharing import CommitMode, FunctionMode
from trajectories.protocol import PairJudge, RightAnswer
from trajectories.store import SQLStore

if TYPE_CHECKING:
    from envs.task import TaskInstance


@dataclass(frozen=True)
class MiningRequest:
    """What `contextrl pairs mine` was asked for."""

    run: str | None = None
    repo: str | None = None
    name: str = "mined"
    commit: CommitMode = "same"
    function: FunctionMode = "same"
    judge: str = "rules"
    judge_requests: int | None = None
    judge_tokens: int | None = None
    embedding: str | None = None
    min_related: float = 0.05
    verify: str | None = None
    tasks: str | None = None
    per_function: int = 8
    keep_after_edit: bool = True
    processes: int = 2


def mine_pairs(store: SQLStore, request: MiningRequest, progress: Progress) -> dict[str, int]:
    """Mine, judge, verify; the funnel. Raises `ValueError` for what cannot be done as asked."""
    if not store.count():
        raise ValueError(f"{store.where} holds no trajectories: import some (contextrl traj import), or train")
    judge, relatedness = _judge(request), _relatedness(request.embedding)
    tasks = _tasks(request.tasks or request.verify)
    store.claim_set(request.name, _way(request))
    try:
        return _mine(store, request, judge, relatedness, tasks, progress)
    finally:
        store.release_run(request.name)


def _mine(
    store: SQLStore,
    request: MiningRequest,
    judge: PairJudge | None,
    relatedness: Relatedness | None,
    tasks: Mapping[str, TaskInstance],
    progress: Progress,
) -> dict[str, int]:
    miner = MinerOptions(
        commit=request.commit,
        function=request.function,
        keep_after_edit=request.keep_after_edit,
        min_relatedness=request.min_related,
        across_runs=True,
    )
    filters = {"run": request.run, "repo": request.repo}
    progress.stage("Mining")
    if heldout := LeftOut.of(store, filters).count(store):
        progress.log(f"{heldout} trajectories are left out: training held them out, or the functions that they touch")
    counts: dict[str, int] = mine_store(
        store,
        BulkOptions(miner, request.per_function, request.processes, request.name),
        judge=judge,
        relatedness=relatedness,
        gold=_gold(tasks),
        filters=filters,
        progress=lambda done, total, valid: progress.update(done, total, f"{valid} valid pairs"),
    )
    if request.verify:
        from contextrl.verify_pairs import verify_stored

        progress.stage("Verifying")
        asyncio.run(verify_stored(store, request.name, tasks, progress))
        counts = store.funnel(request.name)
    return dict(counts)


def _way(request: MiningRequest) -> dict[str, Any]:
    """What must be the same when a set is mined on: its funnel is that of one mining."""
    names = ("run", "repo", "commit", "function", "judge", "embedding", "min_related", "tasks", "per_function")
    given = {f"--{name.replace('_', '-')}": getattr(request, name) for name in names}
    return given | {"--cut-at-edit": not request.keep_after_edit}


def _judge(request: MiningRequest) -> PairJudge | None:
    """Who judges what the rules let pass; None where the rules have the last word. What it says is kept at home."""
    if request.judge == "rules":
        return None
    from trajectories.endpoints.budget import Budget
    from trajectories.judging import judge_from

    budget = Budget(max_requests=request.judge_requests, max_tokens=request.judge_tokens)
    return judge_from(request.judge, cache=home() / "replies", budget=budget)


def _relatedness(embedding: str | None) -> Relatedness | None:
    """By vectors, if a model for them is named; None: by words."""
    if embedding is None:
        return None
    from trajectories.endpoints.endpoint import Endpoint, parse_endpoint

    return EmbeddingRelatedness(Endpoint(parse_endpoint(embedding)).embed)


def _tasks(name: str | None) -> dict[str, TaskInstance]:
    if name is None:
        return {}
    from envs.tasksets.registry import find_taskset

    return {task.instance_id: task for task in find_taskset(name)}


def _gold(tasks: Mapping[str, TaskInstance]) -> dict[str, RightAnswer]:
    """Right answers as far as the tasks tell: the lines that the gold patch adds, and the patch."""
    from trajectories.mining.answers import repair

    return {i: RightAnswer(repair(task.patch), task.patch) for i, task in tasks.items() if repair(task.patch)}
