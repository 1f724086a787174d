"""Pair sets by name: a run in the store, a file, or the held-out pairs of a recipe.

Invariant: every pair of a set is probed or counted with the reason why it is not; which ones a limit leaves is decided
by the seed alone.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from contextrl.pair_files import read_pairs
from contextrl.probe.selector import ProbeError
from contextrl.progress import Progress
from trajectories.judging import judge_all
from trajectories.protocol import PairJudge, StoreMissing
from trajectories.records import ContextPair

if TYPE_CHECKING:
    from trajectories.store import SQLStore

HELDOUT = "heldout:"
_SOME = 20
"""Names that a message lists."""
Wanted = Literal["valid", "uncertain", "invalid", "any"]


@dataclass
class PairSet:
    """The pairs of one `--pairs`."""

    name: str
    pairs: list[ContextPair]
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason -> how many pairs of the set are not probed."""


def load_set(name: str, store: str, progress: Progress) -> PairSet:
    """All pairs of a set, each once. Raises `ProbeError`, `StoreError`."""
    if name.startswith(HELDOUT):
        from contextrl.probe.heldout import recipe_pairs

        found = recipe_pairs(Path(name.removeprefix(HELDOUT)), progress)
    else:
        path = Path(name).expanduser()
        found = _of_file(path) if path.is_file() else _of_run(name, store)
    if not found:
        raise ProbeError(f"--pairs {name} holds no pair: there is nothing to probe")
    pairs: dict[str, ContextPair] = {}
    for pair in found:
        if pairs.setdefault(pair.id, pair) != pair:
            raise ProbeError(f"--pairs {name} holds two pairs with the id {pair.id} that are not alike: keep one")
    twice = len(found) - len(pairs)
    return PairSet(name, list(pairs.values()), Counter({"there twice": twice} if twice else {}))


def chosen(whole: PairSet, judgement: Wanted, limit: int | None, seed: int) -> PairSet:
    """Those judged so, and at most `limit` of them at random. Raises `ProbeError` if none is left."""
    pairs, left_out = whole.pairs, Counter(whole.left_out)
    if judgement != "any":
        pairs = [pair for pair in pairs if pair.judgement == judgement]
        left_out.update(f"judged {pair.judgement}" for pair in whole.pairs if pair.judgement != judgement)
    if not pairs:
        raise ProbeError(
            f"--pairs {whole.name}: none of {len(whole.pairs)} pairs is judged {judgement}: --judgement any"
        )
    if limit is not None and limit < len(pairs):
        kept = sorted(random.Random(f"probe/{seed}").sample(range(len(pairs)), limit))
        left_out["beyond --limit"] = len(pairs) - limit
        pairs = [pairs[i] for i in kept]
    return PairSet(whole.name, pairs, left_out)


def judged(whole: PairSet, judge: PairJudge, name: str, progress: Callable[[int, int], None]) -> PairSet:
    """Without those that a judge finds invalid. Raises `ProbeError` if none is left."""
    total, done = len(whole.pairs), count(1)
    verdicts = judge_all(judge, whole.pairs, lambda: progress(next(done), total))
    kept = [pair for pair, (verdict, _) in zip(whole.pairs, verdicts, strict=True) if verdict != "invalid"]
    if not kept:
        raise ProbeError(f"--pairs {whole.name}: the judge {name} finds all {total} pairs invalid")
    return PairSet(whole.name, kept, whole.left_out + Counter({f"found invalid by {name}": total - len(kept)}))


def _of_file(path: Path) -> list[ContextPair]:
    try:
        return [pair for batch in read_pairs(path) for pair in batch]
    except ValueError as error:
        raise ProbeError(str(error)) from None


def _of_run(name: str, where: str) -> list[ContextPair]:
    from trajectories.store import SQLStore

    try:
        with SQLStore(where if "://" in where else Path(where), create=False) as store:
            found = store.pairs(run=name)
            others = [] if found else _with_pairs(store)
    except StoreMissing:
        raise ProbeError(f"--pairs {name}: there is no such file, and no store {where} to look for a run in") from None
    if not found:
        there = f"; there are pairs of {', '.join(others)}" if others else ""
        raise ProbeError(f"--pairs {name}: there is no such file, and no pair of such a run or set in {where}{there}")
    return found


def _with_pairs(store: SQLStore) -> list[str]:
    """The runs and sets that have pairs, the first of them."""
    from trajectories.storage.upkeep import Upkeep

    found = [name or "(without a name)" for name in Upkeep(store).names("set") if store.count_pairs(run=name)]
    return found[:_SOME] + ([f"{len(found) - _SOME} others"] if len(found) > _SOME else [])
