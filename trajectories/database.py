"""Connections to the store's database: opening it, transactions, and what went wrong in one sentence.

Invariant: a write is one transaction that holds the write lock from its start, so whatever it read is still true when
it writes; a process that dies in it leaves nothing behind. No driver's exception leaves this module.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from trajectories.protocol import StoreError
from trajectories.schema import SCHEMA_VERSION, metadata, store_meta

T = TypeVar("T")


class Database:
    """One database. Thread-safe; writes of one process queue up on a lock instead of in the database."""

    def __init__(self, where: str | Path, *, create: bool = True, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._in_memory = False
        url, self.where, path = _locate(where)
        if path is not None:
            _prepare(path, create)
        with self._errors():
            self._engine = self._make_engine(url)
        self._writer = self._engine.execution_options(takes_write_lock=True)
        try:
            self._open()
        except StoreError:
            self.close()
            raise

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
                with self._writer.begin() as connection:
                    return work(connection)
            except IntegrityError:
                with self._writer.begin() as connection:
                    return work(connection)

    def close(self) -> None:
        """Release all connections."""
        self._engine.dispose()

    def _make_engine(self, url: sa.URL) -> sa.Engine:
        if url.get_backend_name() != "sqlite":
            return sa.create_engine(url, pool_pre_ping=True)
        # In memory there is one connection for all threads, used in turn; in a file each has its own.
        self._in_memory = url.database is None
        arguments = {"timeout": self._timeout_s, "isolation_level": None}
        if self._in_memory:
            arguments["check_same_thread"] = False
            engine = sa.create_engine(url, connect_args=arguments, poolclass=sa.StaticPool)
        else:
            engine = sa.create_engine(url, connect_args=arguments, pool_size=4, max_overflow=60)
        sa.event.listen(engine, "connect", self._configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _configure_sqlite(self, connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        deadline = time.monotonic() + self._timeout_s
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

    def _open(self) -> None:
        """Make the tables in an empty database; refuse one that is not ours or has another version."""
        version, tables = self.read(_version)
        if version is None and tables:
            raise StoreError(f"{self.where} is a database, but not a trajectory store: give another place.")
        if version is None:
            version = self.write(_create)
        if version != str(SCHEMA_VERSION):
            raise StoreError(
                f"{self.where} has schema version {version}, this program reads version {SCHEMA_VERSION}: "
                "open it with the version of contextrl that wrote it, or give another place."
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise StoreError(self._explain(error)) from error

    def _explain(self, error: Exception) -> str:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        causes = {
            "locked": f"is locked by another process for more than {self._timeout_s:g} s: end it, or try again",
            "full": "cannot be written because the disk is full: free some space; what was stored before is intact",
            "disk I/O": "cannot be read or written (disk error, full disk or size limit): check the disk; "
            "what was stored before is intact",
            "readonly": "cannot be written: its file or folder is read-only",
            "malformed": "is damaged: restore a copy, or move it away and start a new one",
            "not a database": "is not a database: give another place",
            "unable to open": "cannot be opened: check that the folder exists and may be written",
        }
        for sign, cause in causes.items():
            if sign in said:
                return f"The trajectory store {self.where} {cause} ({said})."
        return f"The trajectory store {self.where} failed: {said}."


def _locate(where: str | Path) -> tuple[sa.URL, str, Path | None]:
    """The URL, how to name it in messages (without a password), and the file if it is one."""
    text = str(where)
    if "://" not in text and text != ":memory:":
        path = Path(text).expanduser()
        return sa.URL.create("sqlite", database=str(path)), str(path), path
    try:
        url = sa.make_url(text if "://" in text else "sqlite://")
    except SQLAlchemyError as error:
        raise StoreError(f"{text!r} is neither a path nor a database URL: {error}.") from error
    if url.get_backend_name() != "sqlite":
        return url, url.render_as_string(hide_password=True), None
    if url.database in (None, "", ":memory:"):
        return url.set(database=None), "in memory", None
    return url, str(url.database), Path(str(url.database))


def _prepare(path: Path, create: bool) -> None:
    if path.is_dir():
        raise StoreError(f"The trajectory store {path} is a folder: give the path of a file in it.")
    if not create and not path.exists():
        raise StoreError(f"There is no trajectory store at {path}: a training run makes one.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {path.parent} for the trajectory store cannot be made: {error}.") from error


def _begin_sqlite(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("takes_write_lock", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


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
        version = str(SCHEMA_VERSION)
        connection.execute(store_meta.insert().values(key="schema_version", value=version))
    return version
