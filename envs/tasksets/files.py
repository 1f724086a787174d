"""Rows in files: JSON, JSONL and Parquet, read and written.

Invariant: a file is written whole or not at all, and what cannot be read is told with the file and the line.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from envs.task import RepoProfile, TaskInstance
from envs.tasksets.repositories import Repositories, TaskSetError
from envs.tasksets.rows import from_row, to_row

Row = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a `.json`, `.jsonl` or `.parquet` file. Raises `TaskSetError`."""
    if not path.is_file():
        what = f"{path} is no file" if path.exists() else f"there is no file {path}"
        raise TaskSetError(f"{what}: give a .json, .jsonl or .parquet file of rows")
    if path.suffix == ".parquet":
        return _parquet(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TaskSetError(f"{path} is not text in UTF-8: give a .json, .jsonl or .parquet file of rows") from None
    rows = _whole(text) if text.lstrip()[:1] == "[" or path.suffix == ".json" else None
    return rows if rows is not None else _lines(text, path)


def _whole(text: str) -> list[Row] | None:
    """The rows of one JSON value: a list, one row, or rows by their id. None where it is no such value."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        found = [found] if {"instance_id", "INSTANCE_ID"} & set(found) else list(found.values())
    return found if isinstance(found, list) and all(isinstance(row, dict) for row in found) else None


def _lines(text: str, path: Path) -> list[Row]:
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TaskSetError(f"{path}, line {number}: no JSON: {error}; give one row a line, or a list") from None
        if not isinstance(row, dict):
            raise TaskSetError(f"{path}, line {number}: no row: give one object a line, or a list of objects")
        rows.append(row)
    return rows


def _parquet(path: Path) -> list[Row]:
    arrow = _pyarrow()
    try:
        rows: list[Row] = arrow.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise TaskSetError(f"{path} cannot be read as Parquet: {' '.join(str(error).split())}") from None
    return rows


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise TaskSetError("Parquet files need pyarrow: pip install 'contextrl[parquet]', or give JSONL") from None
    return pyarrow.parquet


def write_rows(
    tasks: Iterable[TaskInstance], path: Path, *, parquet: bool = False, profiles: Iterable[RepoProfile] = ()
) -> None:
    """Write tasks as rows: a line of JSON each, or Parquet. Raises `TaskSetError`."""
    repositories = Repositories(profiles)
    rows = [to_row(task, repositories) for task in tasks]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".saving-", dir=path.parent)
    os.close(handle)
    try:
        if parquet:
            _write_parquet(rows, Path(name))
        else:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            Path(name).write_bytes("".join(lines).encode())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except UnicodeEncodeError:
        raise TaskSetError(f"{path} cannot be written: a task holds text that is no Unicode") from None
    finally:
        Path(name).unlink(missing_ok=True)


def _write_parquet(rows: list[Row], path: Path) -> None:
    """All columns are text, lists and mappings as JSON, as SWE-bench's own data sets have them."""
    arrow = _pyarrow()
    import pyarrow

    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = {c: [_cell(row.get(c)) for row in rows] for c in columns}
    arrow.write_table(pyarrow.table({c: pyarrow.array(values, pyarrow.string()) for c, values in cells.items()}), path)


def _cell(value: object) -> str | None:
    return value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)


_NESTED = {"hidden", "difficulty", "setup", "tests", "derived", "whole_files", "network"}
_NESTED |= {"test_targets", "files", "functions", "flaky", "repairs"}


def load_rows(path: Path, *, profiles: Iterable[RepoProfile] = ()) -> list[TaskInstance]:
    """The tasks of a file that `write_rows` wrote. Raises `TaskSetError`."""
    repositories = Repositories(profiles)
    rows = read_rows(path)
    if not rows:
        raise TaskSetError(f"{path} holds no row: give a .json, .jsonl or .parquet file of task instances")
    try:
        tasks = [from_row(_unpacked(row), repositories) for row in rows]
    except TaskSetError as error:
        raise TaskSetError(f"{path}: {error}") from None
    name, times = Counter(task.instance_id for task in tasks).most_common(1)[0]
    if times > 1:
        raise TaskSetError(f"{path}: {times} rows have the instance id {name!r}: keep one of them")
    return tasks


def _unpacked(row: Mapping[str, Any]) -> Row:
    found = {column: value for column, value in row.items() if value is not None}
    for column in _NESTED & set(found):
        if isinstance(found[column], str):
            try:
                found[column] = json.loads(found[column])
            except (ValueError, RecursionError):
                continue  # a word of another data set: the field's own check tells
    return found
