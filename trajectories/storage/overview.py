"""What the store holds, in numbers: each function works in a transaction that its caller opened.

Invariant: counted by the database from the rows themselves; nothing is kept as a sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from trajectories.queries import RunSummary
from trajectories.storage.codec import KEY_BYTES
from trajectories.storage.filters import of_trajectories
from trajectories.storage.schema import blobs, bodies, pairs, trajectories


def runs(connection: sa.Connection) -> list[RunSummary]:
    """One summary for each run, the oldest first."""
    c, n = trajectories.c, sa.func.count()
    valid = sa.select(pairs.c.run, n).where(pairs.c.judgement == "valid").group_by(pairs.c.run)
    n_pairs: dict[str, int] = {run: count for run, count in connection.execute(valid)}
    query = sa.select(
        c.run,
        n,
        sa.func.sum(sa.case((c.resolved, 1), else_=0)),
        sa.func.sum(sa.case((c.graded, 1), else_=0)),
        sa.func.sum(sa.case((c.status == "infra_error", 1), else_=0)),
        sa.func.min(c.created_at),
        sa.func.max(c.created_at + c.seconds),
    )
    rows = connection.execute(query.group_by(c.run).order_by(sa.func.min(c.position)))
    return [
        RunSummary(run, n, ok, judged, broken, n_pairs.get(run, 0), begun, ended)
        for run, n, ok, judged, broken, begun, ended in rows
    ]


class Part(NamedTuple):
    """What the store holds of one run, or of one repository."""

    name: str
    trajectories: int
    resolved: int
    graded: int
    """Those that have a verdict or a reward."""
    turns: int
    tokens: int
    statuses: dict[str, int]
    filtered: dict[str, int]
    """How many are not learned from, by reason."""
    bytes: int
    """Compressed documents and tokens, without the texts that are shared."""


class Shared(NamedTuple):
    """Texts that stand once: problem statements and large observations."""

    texts: int
    uses: int
    """How often trajectories name one."""
    bytes: int


def parts(connection: sa.Connection, by: Literal["run", "repo"], filters: Mapping[str, Any]) -> list[Part]:
    """One for each run or repository, the oldest first, of the trajectories that pass the filters."""
    c, key = trajectories.c, trajectories.c[by]
    n, wanted = sa.func.count(), of_trajectories(filters)
    size = sa.func.sum(sa.func.length(bodies.c.document) + sa.func.length(bodies.c.tokens))
    verdicts = [sa.func.sum(sa.case((column, 1), else_=0)) for column in (c.resolved, c.graded)]
    query = sa.select(key, n, *verdicts, sa.func.sum(c.turns), sa.func.sum(c.tokens), size).where(*wanted)
    query = query.join(bodies, bodies.c.position == c.position).group_by(key).order_by(sa.func.min(c.position))
    statuses, reasons = (
        _counts(connection, sa.select(key, column, n).where(*wanted).group_by(key, column))
        for column in (c.status, c.filtered)
    )
    return [
        Part(name, n, ok, judged, turns, tokens, statuses[name], {r: k for r, k in reasons[name].items() if r}, int(b))
        for name, n, ok, judged, turns, tokens, b in connection.execute(query)
    ]


def _counts(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, value, n in connection.execute(query):
        found.setdefault(name, {})[value] = n
    return found


def shared(connection: sa.Connection) -> Shared:
    """Of the whole store."""
    texts, size = connection.execute(sa.select(sa.func.count(), sa.func.sum(sa.func.length(blobs.c.text)))).one()
    uses = connection.scalar(sa.select(sa.func.sum(sa.func.length(bodies.c.blobs)))) or 0
    return Shared(texts, int(uses) // KEY_BYTES, int(size or 0))
