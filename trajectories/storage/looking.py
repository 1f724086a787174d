"""A look into a SQLite file before it is connected to: whose is it?

Invariant: nothing here changes the file, whoever it belongs to.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from trajectories.storage.engines import unchanging

_VERSION = "SELECT value FROM store_meta WHERE key = 'schema_version'"


def look(path: Path, timeout_s: float) -> tuple[str | None, list[str]]:
    """The version of the store in it, None where there is none, and its tables. Raises `sqlalchemy.exc.DBAPIError`."""
    if not path.exists() or not path.stat().st_size:
        return None, []
    try:
        with closing(sqlite3.connect(unchanging(path), timeout=timeout_s, uri=True)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return _version(connection) if "store_meta" in tables else None, tables
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError(None, None, error) from error


def _version(connection: sqlite3.Connection) -> str | None:
    try:
        found = connection.execute(_VERSION).fetchone()
    except sqlite3.OperationalError:  # another program's table of that name
        return None
    return None if found is None else str(found[0])
