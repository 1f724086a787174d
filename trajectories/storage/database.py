"""Connections to the store's database: opening it, transactions, and what went wrong in one sentence.

Invariant: a write is one transaction that holds the write lock from its start, so whatever it read is still true when
it writes; a process that dies in it leaves nothing behind. Every write raises the store's revision by one. No driver's
exception leaves this module.
"""

from __future__ import annotations

import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from trajectories.queries import StoreError, StoreRefusal
from trajectories.storage.causes import explain
from trajectories.storage.engines import in_memory, make_engine
from trajectories.storage.locating import locate, nothing_at, prepare
from trajectories.storage.looking import look
from trajectories.storage.schema import SCHEMA_VERSION, metadata, store_meta
from trajectories.storage.words import INDEXED_TO

T = TypeVar("T")
_WRITTEN = sa.text(
    "UPDATE store_meta SET value = CAST(CAST(value AS BIGINT) + 1 AS VARCHAR(32)) WHERE key = 'revision'"
)
_OLDER = {str(version) for version in range(1, SCHEMA_VERSION)}


class Database:
    """One database. Thread-safe; writes of one process queue up on a lock instead of in the database."""

    def __init__(
        self,
        where: str | Path,
        *,
        create: bool = True,
        timeout_s: float = 30.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._progress = progress
        self._lock = threading.Lock()
        url, self.where, path = locate(where)
        self._kind = url.get_backend_name()
        self._in_memory = in_memory(url)
        if path is not None:
            prepare(path, create)
            with self._errors():
                found = look(path, timeout_s)
            self._check(*found, create)
        with self._errors():
            self._engine = make_engine(url, timeout_s)
        self._writer = self._engine.execution_options(takes_write_lock=True)
        try:
            self._open(create)
        except StoreError:
            self.close()
            raise

    @property
    def address(self) -> str | None:
        """What another process opens it by, with its password; None for one in memory."""
        return None if self._in_memory else self._engine.url.render_as_string(hide_password=False)

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work`, which only reads. Each of its statements sees all that was written before it."""
        waits = self._lock if self._in_memory else nullcontext()
        with self._errors(), waits, self._engine.connect() as connection:
            return work(connection)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in one write transaction.

        Where the database has no lock for all writers, two may insert the same row: `work` then runs once more and
        sees the other's.
        """
        with self._errors(), self._lock:
            try:
                return self._transact(work)
            except IntegrityError:
                return self._transact(work)

    def _transact(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._writer.begin() as connection:
                result = work(connection)
                connection.execute(_WRITTEN)
                return result
        except KeyboardInterrupt as error:
            # One that came in the middle of a fetch holds the driver's cursor, and a cursor the write lock.
            traceback.clear_frames(error.__traceback__)
            raise

    def compact(self) -> None:
        """Give back the space of what was deleted: to the disk, with PostgreSQL to the tables that had it."""
        with self._errors(), self._lock, self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM")
            if self._kind == "sqlite":
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def size(self) -> int:
        """Bytes that it takes."""
        if self._kind == "postgresql":
            return self.read(lambda c: int(c.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0))
        pages = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        return self.read(lambda c: int(c.scalar(sa.text(pages)) or 0))

    def close(self) -> None:
        """Release all connections."""
        self._engine.dispose()

    def _open(self, create: bool) -> None:
        """Make the tables in an empty database, upgrade older ones; refuse what is not ours or is newer."""
        version, tables = self.read(_version)
        self._check(version, tables, create)
        if version is None:
            version = self.write(_create)
        if version in _OLDER:
            version = self.write(self._upgrade)
        if version != str(SCHEMA_VERSION):
            raise StoreError(
                f"{self.where} has schema version {version}, this program reads version {SCHEMA_VERSION}: "
                "open it with the version of contextrl that wrote it, or give another place."
            )

    def _check(self, version: str | None, tables: list[str], create: bool) -> None:
        """Refuse what is another program's, and what is empty where a store must be."""
        if version is None and tables:
            raise StoreError(f"{self.where} is a database, but not a trajectory store: give another place.")
        if version is None and not create:
            raise nothing_at(self.where)

    def _upgrade(self, connection: sa.Connection) -> str | None:
        """Bring an older store to today's schema, unless another process did while this one waited for the lock."""
        from trajectories.storage.migrations import upgrade

        version, _ = _version(connection)
        if version not in _OLDER:
            return version
        try:
            upgrade(connection, int(version), SCHEMA_VERSION, self._progress)
        except SQLAlchemyError:
            raise
        except Exception as error:  # whatever a script meets in a store that somebody damaged
            raise StoreError(
                f"{self.where} has schema version {version} and could not be upgraded to {SCHEMA_VERSION} "
                f"({type(error).__name__}: {error}): it is as it was; restore a copy, or give another place."
            ) from error
        return _set_version(connection)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OverflowError as error:  # raised by the driver itself, of a number that it is given
            raise StoreRefusal(f"A number is too large for the trajectory store {self.where} ({error}).") from error
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise StoreError(explain(error, self.where, self._kind, self._timeout_s)) from error


def _version(connection: sa.Connection) -> tuple[str | None, list[str]]:
    tables = sa.inspect(connection).get_table_names()
    if store_meta.name not in tables:
        return None, tables
    query = sa.select(store_meta.c.value).where(store_meta.c.key == "schema_version")
    return connection.scalar(query), tables


def _create(connection: sa.Connection) -> str:
    metadata.create_all(connection)
    version, _ = _version(connection)  # another process may have been quicker
    if version is None:
        about = {"schema_version": str(SCHEMA_VERSION), "identity": uuid.uuid4().hex, "revision": "0", INDEXED_TO: "0"}
        connection.execute(store_meta.insert(), [{"key": key, "value": value} for key, value in about.items()])
        version = str(SCHEMA_VERSION)
    return version


def _set_version(connection: sa.Connection) -> str:
    row = store_meta.c.key == "schema_version"
    connection.execute(store_meta.update().where(row).values(value=str(SCHEMA_VERSION)))
    return str(SCHEMA_VERSION)
