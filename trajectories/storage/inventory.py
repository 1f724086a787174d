"""Which names a store knows: each function works in a transaction that its caller opened.

Invariant: a name is known from when something is stored under it, or a run has taken it, until the last of it is gone.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from trajectories.storage.names import MINED
from trajectories.storage.schema import funnel, pairs, runs, trajectories


def run_names(connection: sa.Connection) -> list[str]:
    """Names of runs, the oldest first; those that have stored nothing yet last. No mined sets (`names.claim_set`)."""
    c = trajectories.c
    stored = connection.scalars(sa.select(c.run).group_by(c.run).order_by(sa.func.min(c.position)))
    taken = connection.execute(sa.select(runs.c.name, runs.c.configuration).order_by(runs.c.started_at))
    return list(dict.fromkeys([*stored, *(name for name, how in taken if MINED not in (how or {}))]))


def sets_of_pairs(connection: sa.Connection) -> list[str]:
    """Names under which pairs or the counts of mining are, and those of runs, which may have none."""
    named = [name for column in (funnel.c.run, pairs.c.run) for name in _distinct(connection, column)]
    return list(dict.fromkeys([*run_names(connection), *named]))


def repositories(connection: sa.Connection) -> list[str]:
    """Repositories of trajectories."""
    return _distinct(connection, trajectories.c.repo)


def repositories_with_pairs(connection: sa.Connection) -> list[str]:
    """Repositories of trajectories or of pairs."""
    return list(dict.fromkeys([*repositories(connection), *_distinct(connection, pairs.c.repo)]))


def commits(connection: sa.Connection, start: str) -> list[str]:
    """Base commits of trajectories that start so."""
    c = trajectories.c.base_commit
    return _distinct(connection, c, c.startswith(start, autoescape=True))


def functions_with_pairs(connection: sa.Connection, name: str, repo: str | None) -> list[str]:
    """Functions that pairs ask about and that are called so: exactly, or else by how they end."""
    c = pairs.c.function
    here = [] if repo is None else [pairs.c.repo == repo]
    if found := _distinct(connection, c, c == name, *here):
        return found
    ends = tuple(separator + name for separator in ("/", "::", "."))
    return [full for full in _distinct(connection, c, c.endswith(name, autoescape=True), *here) if full.endswith(ends)]


def _distinct(connection: sa.Connection, column: sa.Column[Any], *where: sa.ColumnElement[bool]) -> list[str]:
    return sorted(connection.scalars(sa.select(column).where(*where).distinct()))
