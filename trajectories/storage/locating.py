"""Where a store is, as a user writes it: a path, or the URL of a database.

Invariant: what is said of a place never holds the password in its URL.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from trajectories.queries import StoreError, StoreMissing
from trajectories.storage.engines import POSTGRESQL

_MEMORY = "in memory"


def locate(where: str | Path) -> tuple[sa.URL, str, Path | None]:
    """The URL, how to name it in messages (without a password), and the file if it is one."""
    text = str(where)
    if not text.strip():
        raise StoreError("The trajectory store has no name: give the path of a file, or a URL.")
    if "://" not in text and text != ":memory:":
        path = Path(text).expanduser()
        return sa.URL.create("sqlite", database=str(path)), str(path), path
    try:
        url = sa.make_url(text if "://" in text else "sqlite://")
    except SQLAlchemyError as error:
        raise StoreError(f"{text!r} is neither a path nor a database URL: {error}.") from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername=POSTGRESQL)
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(
            f"{url.render_as_string(hide_password=True)} is of a kind of database that holds no trajectory store: "
            "give the path of a file, or postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    if url.get_backend_name() != "sqlite":
        return url, url.render_as_string(hide_password=True), None
    if url.database in (None, "", ":memory:"):
        return url.set(database=None), _MEMORY, None
    return url, str(url.database), Path(str(url.database))


def prepare(path: Path, create: bool) -> None:
    """Make the folder of a file. Raises `StoreError` for what can hold none, `StoreMissing` where one must be there."""
    if path.is_dir():
        raise StoreError(f"The trajectory store {path} is a folder: give the path of a file in it.")
    if not create and not path.exists():
        raise nothing_at(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {path.parent} for the trajectory store cannot be made: {error}.") from error


def nothing_at(where: str) -> StoreMissing:
    """What is said where a store must be there and is not."""
    if where == _MEMORY:
        return StoreMissing("A trajectory store in memory begins empty: give the path of a file, or a URL of a server.")
    return StoreMissing(f"There is no trajectory store at {where}: a training run makes one, and so does an import.")
