"""Files that are written.

Invariant: what is written appears under its name only when it is whole; until then, and where writing fails, what
stood there stands.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from trajectories.formats.files import FormatError, said


def text_of(value: Any, indent: int | None = None) -> str:
    """A value as JSON, readable where it can be."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


@contextmanager
def whole(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """A place to write to, which becomes `path` when the block ends well, and else disappears. Raises `FormatError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{path.name[:100]}.", dir=path.parent))
        made = place / path.name
        try:
            if folder:
                made.mkdir()
            yield made
            if folder and path.is_dir():
                path.rename(place / "old")
            os.replace(made, path)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except OSError as error:
        raise FormatError(
            f"{path} cannot be written ({said(error)}), and nothing of it is kept: make room or give another place; "
            "the same command starts anew"
        ) from error


def write_lines(rows: Iterable[Any], path: Path) -> None:
    """One JSON value a line; gzipped if the name ends in .gz."""
    with whole(path) as made, _writer(made) as file:
        for row in rows:
            file.write(text_of(row) + "\n")


def write_list(rows: Iterable[Any], path: Path) -> None:
    """A JSON list, an item a line."""
    with whole(path) as made, _writer(made) as file:
        file.write("[")
        for i, row in enumerate(rows):
            file.write((",\n" if i else "\n") + text_of(row))
        file.write("\n]\n")


def _writer(path: Path) -> IO[str]:
    return gzip.open(path, "wt", encoding="utf-8") if path.suffix == ".gz" else open(path, "w", encoding="utf-8")
