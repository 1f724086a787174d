"""From any older schema to today's: one script for each version, run by Alembic.

Invariant: a script never changes once it was released, and imports nothing of this room that may; all scripts run in
the transaction of their caller, so a store is upgraded whole or not at all. `store_meta` alone says which version a
store has.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

Progress = Callable[[int, int], None]
"""Told how many trajectories were moved, and how many there are."""


def upgrade(connection: sa.Connection, since: int, to: int, progress: Progress | None = None) -> None:
    """Run the scripts after version `since`, 0 for an empty database, up to and with version `to`."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(__file__).parent))
    path = list(scripts.iterate_revisions(f"{to:04}", f"{since:04}" if since else "base"))
    context = MigrationContext.configure(connection, opts={"progress": progress or (lambda _done, _of: None)})
    with Operations.context(context):
        for revision in reversed(path):
            revision.module.upgrade()
