"""Context pairs as rows, and back: each function works in a transaction that its caller opened.

Invariant: within a run no two stored pairs have the same answer, anchor text and confounder text; a masked context is
stored once however many pairs it stands in.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from trajectories.protocol import Order, PairFilters, StoreError
from trajectories.records import ContextPair, Judgement, MaskedContext
from trajectories.rows import batches, in_order
from trajectories.schema import contexts, funnel, mined, pairs, trajectories

_SAME = tuple(name for name in ContextPair.model_fields if name in pairs.c)
"""Fields of a pair that are columns of the same name."""


def pair_key(pair: ContextPair) -> str:
    """What makes a pair the same as another, 64 hexadecimal digits: run, answer and both texts, whoever wrote them."""
    digest = hashlib.sha256()
    for part in (pair.run, pair.answer, *_texts(pair.anchor), "\0", *_texts(pair.confounder)):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _texts(context: MaskedContext) -> Iterable[str]:
    yield context.problem_statement
    for turn in context.turns:
        yield turn.text
        yield turn.observation


def insert(connection: sa.Connection, new: Iterable[ContextPair]) -> list[ContextPair]:
    """Those that were new, or that decide a stored uncertain one."""
    keyed: dict[str, ContextPair] = {}
    for pair in new:
        keyed.setdefault(pair_key(pair), pair)
    stored = judgements(connection, keyed)
    kept = []
    for key, pair in keyed.items():
        if key not in stored:
            _refuse_known_id(connection, pair)
            connection.execute(pairs.insert().values(_row(connection, key, pair)))
        elif stored[key] == "uncertain" and pair.judgement != "uncertain":
            decided = {k: getattr(pair, k) for k in ("judgement", "reasons", "confounder_answer")}
            connection.execute(pairs.update().where(pairs.c.key == key).values(decided))
        else:
            continue
        kept.append(pair)
    return kept


def judgements(connection: sa.Connection, keys: Collection[str]) -> dict[str, Judgement]:
    """What was decided on each pair that is stored, by key."""
    found: dict[str, Judgement] = {}
    for batch in batches(keys):
        rows = connection.execute(sa.select(pairs.c.key, pairs.c.judgement).where(pairs.c.key.in_(batch)))
        found.update((key, judgement) for key, judgement in rows)
    return found


def _refuse_known_id(connection: sa.Connection, pair: ContextPair) -> None:
    if connection.scalar(sa.select(pairs.c.id).where(pairs.c.id == pair.id)) is not None:
        raise StoreError(f"Pair {pair.id} is already stored with other contents: give the new one its own id.")


def _row(connection: sa.Connection, key: str, pair: ContextPair) -> dict[str, Any]:
    return {name: getattr(pair, name) for name in _SAME} | {
        "key": key,
        "anchor_id": pair.anchor.trajectory_id,
        "confounder_id": pair.confounder.trajectory_id,
        "anchor_key": _keep_context(connection, pair.anchor),
        "confounder_key": _keep_context(connection, pair.confounder),
    }


def _keep_context(connection: sa.Connection, context: MaskedContext) -> str:
    document = context.model_dump_json().encode()
    key = hashlib.sha256(document).hexdigest()
    if connection.scalar(sa.select(contexts.c.key).where(contexts.c.key == key)) is None:
        connection.execute(contexts.insert().values(key=key, document=zlib.compress(document, 1)))
    return key


def _matching(filters: Mapping[str, Any]) -> list[sa.ColumnElement[bool]]:
    for name in filters:
        if name not in PairFilters.__annotations__:
            raise StoreError(
                f"Pairs cannot be filtered by {name!r}: use one of {', '.join(PairFilters.__annotations__)}."
            )
    return [pairs.c[name] == value for name, value in filters.items() if value is not None]


def select(connection: sa.Connection, filters: Mapping[str, Any], order: Order, limit: int | None) -> list[ContextPair]:
    """Whole pairs."""
    return _read(connection, in_order(_whole().where(*_matching(filters)), pairs.c.position, order, limit))


def by_id(connection: sa.Connection, pair_id: str) -> ContextPair | None:
    """One pair, None when there is no such id."""
    found = _read(connection, _whole().where(pairs.c.id == pair_id))
    return found[0] if found else None


def _whole() -> sa.Select[Any]:
    return sa.select(*(pairs.c[name] for name in (*_SAME, "anchor_key", "confounder_key")))


def _read(connection: sa.Connection, query: sa.Select[Any]) -> list[ContextPair]:
    rows = connection.execute(query).all()
    known: dict[str, MaskedContext] = {}
    for batch in batches([key for row in rows for key in (row.anchor_key, row.confounder_key)]):
        for key, document in connection.execute(sa.select(contexts).where(contexts.c.key.in_(batch))):
            known[key] = MaskedContext.model_validate_json(zlib.decompress(document))
    return [
        ContextPair(
            **{name: getattr(row, name) for name in _SAME},
            anchor=known[row.anchor_key],
            confounder=known[row.confounder_key],
        )
        for row in rows
    ]


def count(connection: sa.Connection, filters: Mapping[str, Any]) -> int:
    """How many pass the filters."""
    return connection.scalar(sa.select(sa.func.count()).select_from(pairs).where(*_matching(filters))) or 0


def use(connection: sa.Connection, ids: Collection[str]) -> dict[str, int]:
    """In how many valid pairs each trajectory stands, in either role."""
    used: Counter[str] = Counter(dict.fromkeys(ids, 0))
    for role in (pairs.c.anchor_id, pairs.c.confounder_id):
        for batch in batches(ids):
            query = sa.select(role, sa.func.count()).where(role.in_(batch), pairs.c.judgement == "valid")
            used.update({i: n for i, n in connection.execute(query.group_by(role))})
    return dict(used)


def finish_mining(
    connection: sa.Connection, position: int, run: str, new: Iterable[ContextPair], counts: Mapping[str, int]
) -> list[ContextPair]:
    """Keep what mining one trajectory gave; nothing when it was mined before."""
    if connection.scalar(sa.select(mined.c.position).where(mined.c.position == position)) is not None:
        return []
    connection.execute(mined.insert().values(position=position))
    add_funnel(connection, run, counts)
    return insert(connection, new)


def unmined(connection: sa.Connection, run: str) -> list[str]:
    """Ids of the run's trajectories that were not mined, in the order of insertion."""
    left = ~sa.exists().where(mined.c.position == trajectories.c.position)
    query = sa.select(trajectories.c.id).where(trajectories.c.run == run, left)
    return list(connection.scalars(query.order_by(trajectories.c.position)))


def add_funnel(connection: sa.Connection, run: str, counts: Mapping[str, int]) -> None:
    """Add to the counts of a run."""
    for stage, n in counts.items():
        here = (funnel.c.run == run, funnel.c.stage == stage)
        if connection.execute(funnel.update().where(*here).values(count=funnel.c.count + n)).rowcount == 0:
            connection.execute(funnel.insert().values(run=run, stage=stage, count=n))


def read_funnel(connection: sa.Connection, run: str) -> dict[str, int]:
    """The counts of a run by stage."""
    rows = connection.execute(sa.select(funnel.c.stage, funnel.c.count).where(funnel.c.run == run))
    return {stage: count for stage, count in rows}
