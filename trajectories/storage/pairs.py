"""Context pairs as rows, and back: each function works in a transaction that its caller opened.

Invariant: within a run no two stored pairs have the same answer, anchor text and confounder text; a masked context is
stored once however many pairs it stands in.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from trajectories.queries import Order, Stage, StoreError
from trajectories.records import ContextPair, Judgement, MaskedContext
from trajectories.storage.codec import pack, unpack
from trajectories.storage.filters import batches, in_order, of_pairs
from trajectories.storage.schema import contexts, pairs
from trajectories.storage.statements import CONTEXTS, JUDGEMENTS, PAIR_IDS, USE

_SAME = tuple(name for name in ContextPair.model_fields if name in pairs.c)
"""Fields of a pair that are columns of the same name."""
_NEW_LIFE = {"uses": 0, "retired": ""}
_ORDER_BITS = 16
"""Of the column `settled`: which of the pairs of one trajectory; the others are its position."""


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


def insert(connection: sa.Connection, new: Iterable[ContextPair], settled_by: int = 0) -> list[ContextPair]:
    """Those that were new, or that decide a stored uncertain one. `settled_by`: the position of who was mined."""
    keyed: dict[str, ContextPair] = {}
    for pair in new:
        keyed.setdefault(pair_key(pair), pair)
    before = judgements(connection, keyed)
    fresh = {key: pair for key, pair in keyed.items() if key not in before}
    decided = {
        key: pair for key, pair in keyed.items() if before.get(key) == "uncertain" and pair.judgement != "uncertain"
    }
    settled = {key: (settled_by << _ORDER_BITS) + i if settled_by else 0 for i, key in enumerate(keyed)}
    if fresh:
        _insert_new(connection, fresh, settled)
    for key, pair in decided.items():
        changed: dict[str, Any] = {k: getattr(pair, k) for k in ("judgement", "reasons", "confounder_answer")}
        changed["settled"] = settled[key]
        connection.execute(pairs.update().where(pairs.c.key == key).values(changed))
    return [pair for key, pair in keyed.items() if key in fresh or key in decided]


def rejudge(connection: sa.Connection, judged: Iterable[ContextPair]) -> None:
    """Keep the judgement and the reasons of pairs that are stored, by id."""
    for pair in judged:
        changed = {"judgement": pair.judgement, "reasons": pair.reasons}
        connection.execute(pairs.update().where(pairs.c.id == pair.id).values(changed))


def settled(connection: sa.Connection, run: str) -> dict[str, tuple[int, int]]:
    """Of each valid pair of a run, at which position the trajectory stands whose mining made it so, and its turn."""
    query = sa.select(pairs.c.id, pairs.c.settled).where(pairs.c.run == run, pairs.c.judgement == "valid")
    return {row.id: (row.settled >> _ORDER_BITS, row.settled % (1 << _ORDER_BITS)) for row in connection.execute(query)}


def _insert_new(connection: sa.Connection, fresh: Mapping[str, ContextPair], settled: Mapping[str, int]) -> None:
    ids = {pair.id: pair for pair in fresh.values()}
    known = _present(connection, PAIR_IDS, ids)
    if known or len(ids) < len(fresh):
        twice = next(iter(known), None) or next(p.id for p in fresh.values() if ids[p.id] is not p)
        raise StoreError(f"Pair {twice} is already stored with other contents: give the new one its own id.")
    documents: dict[str, bytes] = {}
    rows = []
    for key, pair in fresh.items():
        row = {name: getattr(pair, name) for name in _SAME} | {"key": key, **_NEW_LIFE}
        row["settled"] = settled[key]
        for role, context in (("anchor", pair.anchor), ("confounder", pair.confounder)):
            document = context.model_dump_json().encode()
            name = hashlib.sha256(document).hexdigest()
            documents[name] = document
            row |= {f"{role}_id": context.trajectory_id, f"{role}_key": name, f"{role}_instance": context.instance_id}
        rows.append(row)
    new = documents.keys() - _present(connection, CONTEXTS, documents)
    if new:
        packed = [{"key": name, "document": pack(documents[name])} for name in sorted(new)]
        connection.execute(contexts.insert(), packed)
    connection.execute(pairs.insert(), rows)


def _present(connection: sa.Connection, query: sa.Select[Any], values: Collection[str]) -> set[str]:
    """Those of the values that the query finds."""
    return {v for batch in batches(values) for v in connection.scalars(query, {"values": batch})}


def judgements(connection: sa.Connection, keys: Collection[str]) -> dict[str, Judgement]:
    """What was decided on each pair that is stored, by key."""
    found: dict[str, Judgement] = {}
    for batch in batches(keys):
        found.update((key, judgement) for key, judgement in connection.execute(JUDGEMENTS, {"values": batch}))
    return found


def select(connection: sa.Connection, filters: Mapping[str, Any], order: Order, limit: int | None) -> list[ContextPair]:
    """Whole pairs."""
    return [pair for _, pair in page(connection, filters, order, limit)]


def page(
    connection: sa.Connection, filters: Mapping[str, Any], order: Order, limit: int | None
) -> list[tuple[int, ContextPair]]:
    """Whole pairs, each with its position."""
    return _read(connection, in_order(_whole().where(*of_pairs(filters)), pairs.c.position, order, limit))


def live_pairs_of(connection: sa.Connection, instance_ids: Collection[str]) -> list[ContextPair]:
    """Valid pairs that are not retired in which one of the instances is the confounder's."""
    alive = (pairs.c.judgement == "valid", pairs.c.retired == "")
    found = [
        row
        for batch in batches(instance_ids)
        for row in _read(connection, _whole().where(pairs.c.confounder_instance.in_(batch), *alive))
    ]
    return [pair for _, pair in sorted(found, key=lambda row: row[0])]


def by_id(connection: sa.Connection, pair_id: str) -> ContextPair | None:
    """One pair, None when there is no such id."""
    found = _read(connection, _whole().where(pairs.c.id == pair_id))
    return found[0][1] if found else None


def _whole() -> sa.Select[Any]:
    return sa.select(*(pairs.c[name] for name in ("position", *_SAME, "anchor_key", "confounder_key")))


def _read(connection: sa.Connection, query: sa.Select[Any]) -> list[tuple[int, ContextPair]]:
    rows = connection.execute(query).all()
    known: dict[str, MaskedContext] = {}
    for batch in batches([key for row in rows for key in (row.anchor_key, row.confounder_key)]):
        for key, document in connection.execute(sa.select(contexts).where(contexts.c.key.in_(batch))):
            known[key] = MaskedContext.model_validate_json(unpack(document))
    return [
        (
            row.position,
            ContextPair(
                **{name: getattr(row, name) for name in _SAME},
                anchor=known[row.anchor_key],
                confounder=known[row.confounder_key],
            ),
        )
        for row in rows
    ]


def count(connection: sa.Connection, filters: Mapping[str, Any]) -> int:
    """How many pass the filters."""
    return connection.scalar(sa.select(sa.func.count()).select_from(pairs).where(*of_pairs(filters))) or 0


def use(connection: sa.Connection, ids: Collection[str], stage: Stage) -> dict[str, int]:
    """In how many valid pairs of a stage each trajectory stands, in either role."""
    used: Counter[str] = Counter(dict.fromkeys(ids, 0))
    for role in USE:
        for batch in batches(ids):
            used.update({i: n for i, n in connection.execute(role, {"values": batch, "of_stage": stage})})
    return dict(used)
