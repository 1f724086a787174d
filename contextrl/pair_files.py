"""Moving pair sets between stores and files.

Invariant: a file that is written is whole or not there; one that is read is checked line by line.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

from pydantic import ValidationError

from trajectories.mining.splitting import Sides, split_pairs
from trajectories.records import ContextPair, MaskedContext
from trajectories.storage.pairs import pair_key
from trajectories.store import SQLStore

_BATCH = 200


def export_pairs(
    store: SQLStore, out: Path, filters: Mapping[str, Any], *, heldout: float, seed: int, replace: bool
) -> tuple[dict[Path, int], int]:
    """Write JSON Lines; path -> how many pairs. With a held-out share a second file, `NAME.heldout.SUFFIX`.

    The number is of pairs in neither file: one of their sides would be here, the other there.
    """
    stem, dot, suffix = out.name.partition(".")
    other = out.with_name(f"{stem}.heldout{dot}{suffix}")
    for path in (out, other) if heldout else (out,):
        if path.exists() and not replace:
            raise ValueError(f"{path} is there already: give another file, or --replace")
    found = list(store.scan_pairs(**filters))
    if not found:
        raise ValueError(f"no such pairs in {store.where}: `contextrl pairs ls` lists what is there")
    if not heldout:
        return {out: _write(out, found)}, 0
    split = split_pairs(found, heldout, seed, _touched(store, found))
    if not split.train or not split.heldout:
        fewer = "; --stage function leaves fewer links" if any(pair.stage != "function" for pair in found) else ""
        raise ValueError(
            f"pairs that all hang together by functions or tasks cannot be split ({len(found)} here){fewer}"
        )
    return {out: _write(out, split.train), other: _write(other, split.heldout)}, len(split.between)


def _touched(store: SQLStore, pairs: list[ContextPair]) -> Callable[[ContextPair], Sides]:
    """What each side touches: its task, and its trajectory's functions; the anchor at least what is asked about."""
    ids = {context.trajectory_id for pair in pairs for context in (pair.anchor, pair.confounder)}
    functions = {i: t.functions for i, t in store.get_many(ids, tokens=False).items()}

    def of(context: MaskedContext) -> list[str]:
        return [f"task {context.instance_id}", *functions.get(context.trajectory_id, ())]

    return lambda pair: ([*of(pair.anchor), pair.function or pair.file], of(pair.confounder))


def _write(path: Path, pairs: list[ContextPair]) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _open(partial, path.suffix, "wt") as file:
            file.writelines(pair.model_dump_json() + "\n" for pair in pairs)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(pairs)


def read_pairs(path: Path, name: str | None = None) -> Iterator[list[ContextPair]]:
    """The pairs of a file, some at a time, called `name` if given. Raises `ValueError` that names the line."""
    batch: list[ContextPair] = []
    number = 0
    try:
        with _open(path, path.suffix, "rt") as file:
            for line in file:
                if line.strip():
                    pair = ContextPair.model_validate_json(line)
                    batch.append(pair if name is None else _renamed(pair, name))
                number += 1
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
    except (ValidationError, UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        if batch:
            yield batch
        said = first_problem(error) if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise ValueError(
            f"{path}, line {number + 1}: not a context pair ({said}); the file is damaged or cut off, "
            "what stands before it is whole: export it again"
        ) from None
    if batch:
        yield batch
    if not number:
        raise ValueError(f"{path} is empty: there are no pairs in it")


def first_problem(error: ValidationError) -> str:
    """What is wrong with a record, in a few words."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _renamed(pair: ContextPair, name: str) -> ContextPair:
    """The pair in another set: as another pair, so that both can stand in one store."""
    moved = pair.model_copy(update={"run": name})
    return moved.model_copy(update={"id": pair_key(moved)[:32]})


def _open(path: Path, suffix: str, mode: str) -> IO[str]:
    if suffix == ".gz":
        return cast(IO[str], gzip.open(path, mode, encoding="utf-8"))
    return cast(IO[str], open(path, mode, encoding="utf-8"))
