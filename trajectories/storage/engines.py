"""How each database is connected to, and how a write takes its lock.

Invariant: with SQLite and PostgreSQL, a transaction of a connection whose option `takes_write_lock` holds is alone
among the writers of the database from its first statement on. Connecting may change a SQLite file (to WAL mode), so
whoever connects has looked whose it is (`trajectories.storage.looking`).
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

POSTGRESQL = "postgresql+psycopg"
"""PostgreSQL with the driver that `contextrl[postgres]` installs."""
_LOCK = 0x436F6E7465787452
"""Number of the advisory lock that writers hold in a PostgreSQL database: any that no other program there uses."""
_CONNECT_S = 10
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.0005, 0.008
"""Between two looks at SQLite's write lock."""


def in_memory(url: sa.URL) -> bool:
    """Whether it is a database of this process alone."""
    return url.get_backend_name() == "sqlite" and url.database is None


def make_engine(url: sa.URL, timeout_s: float) -> sa.Engine:
    """Connections to a PostgreSQL or SQLite database; `timeout_s`: how long a writer waits for others, seconds."""
    return (_postgresql if url.get_backend_name() == "postgresql" else _sqlite)(url, timeout_s)


def _postgresql(url: sa.URL, timeout_s: float) -> sa.Engine:
    ours = url.drivername == POSTGRESQL and "connect_timeout" not in url.query
    arguments = {"connect_timeout": _CONNECT_S} if ours else {}
    engine = sa.create_engine(url, connect_args=arguments, pool_pre_ping=True)
    patience = f"set_config('lock_timeout', '{max(1, round(timeout_s * 1000))}', true)"

    def begin(connection: sa.Connection) -> None:
        # Positions are given out in a transaction; only in turn do they become visible in their order.
        if _takes_write_lock(connection):
            connection.exec_driver_sql(f"SELECT {patience}, pg_advisory_xact_lock({_LOCK})")

    sa.event.listen(engine, "begin", begin)
    return engine


def _sqlite(url: sa.URL, timeout_s: float) -> sa.Engine:
    # In memory there is one connection for all threads, used in turn; in a file each has its own.
    arguments: dict[str, Any] = {"timeout": timeout_s, "isolation_level": None}
    read_only = _read_only(url)
    if in_memory(url):
        arguments["check_same_thread"] = False
        engine = sa.create_engine(url, connect_args=arguments, poolclass=sa.StaticPool)
    else:
        engine = sa.create_engine(read_only or url, connect_args=arguments, pool_size=4, max_overflow=60)

    def configure(connection: Any, _record: Any) -> None:
        if read_only:
            return
        cursor = connection.cursor()
        deadline = time.monotonic() + timeout_s
        while True:  # SQLite does not wait by itself when two processes switch a new file to WAL at once
            try:
                cursor.execute("PRAGMA journal_mode=WAL")
                break
            except connection.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    def begin(connection: sa.Connection) -> None:
        if _takes_write_lock(connection):
            _begin_in_turn(connection, timeout_s)

    sa.event.listen(engine, "connect", configure)
    sa.event.listen(engine, "begin", begin)
    return engine


def _read_only(url: sa.URL) -> sa.URL | None:
    """How to open a file that this user may not write, or whose folder he may not; None where he may."""
    path = Path(url.database or "").absolute()
    if url.database is None or not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return None
    return sa.URL.create("sqlite", database=unchanging(path), query={"uri": "true"})


def unchanging(path: Path) -> str:
    """The URI that reads a SQLite file and changes nothing."""
    # Its owner may be at work: then the log is there, and is read too. Else SQLite wants to be told that nobody is.
    mode = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
    return f"file:{quote(str(path.absolute()))}?{mode}"


def _begin_in_turn(connection: sa.Connection, timeout_s: float) -> None:
    """Take the write lock. SQLite itself would soon look for it only every 25 to 100 ms, and leave it idle between."""
    driver: Any = connection.connection.dbapi_connection
    deadline, pause = time.monotonic() + timeout_s, _FIRST_PAUSE_S
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < deadline:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    break
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the last time, so that what it says is told
    finally:
        driver.execute(f"PRAGMA busy_timeout={round(1000 * timeout_s)}")


def _takes_write_lock(connection: sa.Connection) -> bool:
    return bool(connection.get_execution_options().get("takes_write_lock", False))
