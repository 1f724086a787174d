"""Mining on request: `contextrl pairs mine`, and moving pair sets between stores and files.

Invariant: what is asked for is checked before anything is mined, and a file that is written is whole or not there.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from contextrl.progress import Progress
from sandbox.home import home
from trajectories.mining.bulk import BulkOptions, mine_store
from trajectories.mining.options import MinerOptions
from trajectories.mining.relatedness import EmbeddingRelatedness, Relatedness
from trajectories.mining.sharing import CommitMode, FunctionMode
from trajectories.mining.splitting import split_pairs
from trajectories.protocol import PairJudge, RightAnswer
from trajectories.records import ContextPair
from trajectories.storage.pairs import pair_key
from trajectories.store import SQLStore

if TYPE_CHECKING:
    from envs.task import TaskInstance

_BATCH = 200


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
    if request.run is not None and not store.count(run=request.run):
        named = ", ".join(r.run or "(without a name)" for r in store.runs()[-5:]) or "none"
        raise ValueError(f"there is no run {request.run!r} in {store.where}; the last runs there: {named}")
    if not store.count():
        raise ValueError(f"{store.where} holds no trajectories: import some (contextrl traj import), or train")
    judge = _judge(request)
    relatedness = _relatedness(request.embedding)
    known = _tasks(request.tasks or request.verify)
    miner = MinerOptions(
        commit=request.commit,
        function=request.function,
        keep_after_edit=request.keep_after_edit,
        min_relatedness=request.min_related,
        across_runs=True,
    )
    options = BulkOptions(miner, request.per_function, request.processes, request.name)
    progress.stage("Mining")
    counts = mine_store(
        store,
        options,
        judge=judge,
        relatedness=relatedness,
        gold=_gold(known),
        filters={"run": request.run, "repo": request.repo},
        progress=lambda done, total, valid: progress.update(done, total, f"{valid} valid pairs"),
    )
    if request.verify:
        from contextrl.verify_pairs import verify_stored

        progress.stage("Verifying")
        asyncio.run(verify_stored(store, request.name, known, progress))
        counts = cast(Any, store.funnel(request.name))
    return dict(counts)


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


def export_pairs(
    store: SQLStore, out: Path, filters: Mapping[str, Any], *, heldout: float, seed: int, replace: bool
) -> dict[Path, int]:
    """Write JSON Lines; path -> how many pairs. With a held-out share a second file, `NAME.heldout.SUFFIX`."""
    stem, dot, suffix = out.name.partition(".")
    other = out.with_name(f"{stem}.heldout{dot}{suffix}")
    for path in (out, other) if heldout else (out,):
        if path.exists() and not replace:
            raise ValueError(f"{path} is there already: give another file, or --replace")
    found = list(store.scan_pairs(**filters))
    if not found:
        raise ValueError(f"no such pairs in {store.where}: `contextrl pairs ls` lists what is there")
    if not heldout:
        return {out: _write(out, found)}
    functions = _functions(store, found)
    train, held = split_pairs(found, heldout, seed, lambda pair: functions.get(pair.id, ()))
    return {out: _write(out, train), other: _write(other, held)}


def _functions(store: SQLStore, pairs: list[ContextPair]) -> dict[str, list[str]]:
    """Pair id -> the functions that either of its trajectories touches."""
    ids = {context.trajectory_id for pair in pairs for context in (pair.anchor, pair.confounder)}
    touched = {i: t.functions for i, t in store.get_many(ids, tokens=False).items()}
    return {
        pair.id: [name for c in (pair.anchor, pair.confounder) for name in touched.get(c.trajectory_id, ())]
        for pair in pairs
    }


def _write(path: Path, pairs: list[ContextPair]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _open(partial, path.suffix, "wt") as file:
            file.writelines(pair.model_dump_json() + "\n" for pair in pairs)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(pairs)


def read_pairs(path: Path, name: str | None = None) -> Iterator[list[ContextPair]]:
    """The pairs of a file, some at a time, called `name` if given. Raises `ValueError` that names the line."""
    batch: list[ContextPair] = []
    number = 0
    try:
        with _open(path, path.suffix, "rt") as file:
            for number, line in enumerate(file, 1):  # noqa: B007 - the last one is told
                if line.strip():
                    pair = ContextPair.model_validate_json(line)
                    batch.append(pair if name is None else _renamed(pair, name))
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
    except (ValidationError, UnicodeDecodeError, EOFError, gzip.BadGzipFile, json.JSONDecodeError) as error:
        if batch:
            yield batch
        said = str(error).splitlines()[0]
        raise ValueError(
            f"{path}, line {max(number, 1)}: not a context pair ({said}); the file is damaged or cut off, "
            "what stands before is imported: export it again"
        ) from None
    if batch:
        yield batch
    if not number:
        raise ValueError(f"{path} is empty: there are no pairs in it")


def _renamed(pair: ContextPair, name: str) -> ContextPair:
    """The pair in another set: as another pair, so that both can stand in one store."""
    moved = pair.model_copy(update={"run": name})
    return moved.model_copy(update={"id": pair_key(moved)[:32]})


def _open(path: Path, suffix: str, mode: str) -> IO[str]:
    if suffix == ".gz":
        return cast(IO[str], gzip.open(path, mode, encoding="utf-8"))
    return cast(IO[str], open(path, mode, encoding="utf-8"))
