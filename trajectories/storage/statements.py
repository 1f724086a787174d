"""The statements of every insertion, built once: to build one costs more than to run it.

Invariant: no statement here reads more rows than it is given keys or a limit for, but for `SIZE`, which counts a range
of the index.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from trajectories.queries import TrajectorySummary
from trajectories.storage.columns import ContentKey
from trajectories.storage.schema import blobs, bodies, contexts, funnel, pairs, places, touches, trajectories

SUMMARY = [trajectories.c[name] for name in TrajectorySummary._fields]
"""The columns of a summary, in its order."""


def _one_of(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    return column.in_(sa.bindparam("values", expanding=True))


def _in_bucket(any_commit: bool, any_run: bool) -> list[sa.ColumnElement[bool]]:
    number = sa.select(places.c.number).where(
        *(places.c[k] == sa.bindparam(f"b_{k}") for k in ("stage", "name", "repo"))
    )
    names = [*([] if any_commit else ["base_commit"]), *([] if any_run else ["run"])]
    return [touches.c.place == number.scalar_subquery(), *(touches.c[k] == sa.bindparam(f"b_{k}") for k in names)]


def _neighbours(any_commit: bool, any_run: bool) -> sa.Select[Any]:
    c = touches.c.position
    here = sa.select(c).where(*_in_bucket(any_commit, any_run), c < sa.bindparam("before")).order_by(c.desc())
    newest = here.limit(sa.bindparam("newest", type_=sa.Integer)).subquery()
    query = sa.select(*SUMMARY).join(newest, newest.c.position == trajectories.c.position)
    return query.order_by(trajectories.c.position.desc())


def _size(any_commit: bool, any_run: bool) -> sa.Select[Any]:
    between = (touches.c.position > sa.bindparam("after"), touches.c.position < sa.bindparam("before"))
    return sa.select(sa.func.count()).select_from(touches).where(*_in_bucket(any_commit, any_run), *between)


def _by_ids(tokens: bool) -> sa.Select[Any]:
    columns = [trajectories.c.id, bodies.c.blobs, bodies.c.document, *([bodies.c.tokens] if tokens else [])]
    joined = trajectories.join(bodies, trajectories.c.position == bodies.c.position)
    return sa.select(*columns).select_from(joined).where(_one_of(trajectories.c.id))


def _right_answers(any_run: bool) -> sa.Select[Any]:
    c = trajectories.c
    in_run = [] if any_run else [c.run == sa.bindparam("in_run")]
    first = sa.select(sa.func.min(c.position)).where(_one_of(c.instance_id), c.resolved == sa.true(), *in_run)
    joined = trajectories.join(bodies, c.position == bodies.c.position)
    query = sa.select(c.instance_id, bodies.c.document).select_from(joined)
    return query.where(c.position.in_(first.group_by(c.instance_id)))


DIGEST = sa.select(trajectories.c.digest).where(trajectories.c.id == sa.bindparam("id"))
POSITION = sa.select(trajectories.c.position).where(trajectories.c.id == sa.bindparam("id"))
BY_IDS = {tokens: _by_ids(tokens) for tokens in (True, False)}
"""With and without tokens."""
_KINDS = [(any_commit, any_run) for any_commit in (True, False) for any_run in (True, False)]
NEIGHBOURS = {kind: _neighbours(*kind) for kind in _KINDS}
SIZE = {kind: _size(*kind) for kind in _KINDS}
"""At any commit or at one, of any run or of one."""
RIGHT_ANSWERS = {any_run: _right_answers(any_run) for any_run in (True, False)}
"""Of any run, and of one run."""
NEW_TEXT = sa.text("INSERT INTO blobs (key, text) VALUES (:key, :text) ON CONFLICT (key) DO NOTHING").bindparams(
    sa.bindparam("key", type_=ContentKey), sa.bindparam("text", type_=sa.LargeBinary)
)
TEXTS = sa.select(blobs.c.key, blobs.c.text).where(_one_of(blobs.c.key))

PAIR_IDS = sa.select(pairs.c.id).where(_one_of(pairs.c.id))
JUDGEMENTS = sa.select(pairs.c.key, pairs.c.judgement).where(_one_of(pairs.c.key))
CONTEXTS = sa.select(contexts.c.key).where(_one_of(contexts.c.key))
USE = [
    sa.select(role, sa.func.count())
    .where(_one_of(role), pairs.c.judgement == "valid", pairs.c.stage == sa.bindparam("of_stage"))
    .group_by(role)
    for role in (pairs.c.anchor_id, pairs.c.confounder_id)
]
"""In how many valid pairs of a stage a trajectory stands as anchor, and as confounder."""
ADD_TO_FUNNEL = (
    funnel.update()
    .where(funnel.c.run == sa.bindparam("of_run"), funnel.c.stage == sa.bindparam("of_stage"))
    .values(count=funnel.c.count + sa.bindparam("n"))
)
