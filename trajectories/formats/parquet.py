"""Parquet: a row for each trajectory, with columns for what is asked by, and the turns as a list; `datasets` reads it.

Needs pyarrow (`pip install 'contextrl[parquet]'`). Members without a fixed shape are JSON text: `verdict`, `sources`,
`extra`, and of a turn `arguments` and `extra`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from trajectories.formats.document import fields
from trajectories.formats.files import FormatError
from trajectories.formats.protocol import Sample
from trajectories.formats.writing import whole
from trajectories.records import Trajectory

_AS_JSON = ("verdict", "sources", "extra")
_ROWS = 64
"""Trajectories of a row group: what is held at a time."""


class ParquetFormat:
    """Any number of trajectories a file."""

    name = "parquet"
    suffixes = (".parquet",)

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        return sample.head[:4] == b"PAR1"

    def read(self, path: Path) -> Iterator[Trajectory]:
        """See `TrajectoryFormat.read`."""
        pyarrow, parquet = _pyarrow()
        number = 0
        try:
            with parquet.ParquetFile(path) as file:
                missing = set(_columns(pyarrow)) - set(file.schema_arrow.names)
                if missing:
                    raise FormatError(f"{path} is not of ours: it has no column {', '.join(sorted(missing))}")
                for batch in file.iter_batches(batch_size=_ROWS):
                    for row in batch.to_pylist():
                        number += 1
                        yield _heard(row)
        except (pyarrow.ArrowException, ValueError, OSError) as error:
            if isinstance(error, FormatError):
                raise
            place = f"{path}, after row {number}" if number else str(path)
            said = str(error).splitlines()[0].rstrip(".")
            raise FormatError(f"{place}: it cannot be read as Parquet ({said})") from error

    def write(self, trajectories: Iterable[Trajectory], path: Path) -> int:
        """See `TrajectoryFormat.write`."""
        pyarrow, parquet = _pyarrow()
        schema = pyarrow.schema(_columns(pyarrow).items())
        remaining, written = iter(trajectories), 0
        with whole(path) as made, parquet.ParquetWriter(made, schema, compression="zstd") as writer:
            while batch := list(islice(remaining, _ROWS)):
                try:
                    writer.write_table(pyarrow.Table.from_pylist([_said(t) for t in batch], schema=schema))
                except (pyarrow.ArrowException, OverflowError) as error:
                    names = ", ".join(t.id for t in batch[:3])
                    raise FormatError(f"one of the trajectories {names}, ... does not fit Parquet: {error}") from error
                written += len(batch)
        return written


def _said(trajectory: Trajectory) -> dict[str, Any]:
    row = fields(trajectory) | {"resolved": trajectory.verdict.resolved if trajectory.verdict else None}
    row |= {name: json.dumps(row[name]) for name in _AS_JSON}
    for turn in row["turns"]:
        call = turn.pop("tool_call")
        turn |= {"tool": call["name"], "arguments": json.dumps(call["arguments"]), "error": call["error"]}
        turn["extra"] = json.dumps(turn["extra"])
    return row


def _heard(row: dict[str, Any]) -> Trajectory:
    row = {name: row[name] for name in Trajectory.model_fields}
    row |= {name: json.loads(row[name]) for name in _AS_JSON}
    for turn in row["turns"]:
        call = {"name": turn.pop("tool"), "arguments": json.loads(turn.pop("arguments")), "error": turn.pop("error")}
        turn |= {"tool_call": call, "extra": json.loads(turn["extra"])}
    return Trajectory.model_validate(row)


def _columns(pa: Any) -> dict[str, Any]:
    text, number, real = pa.string(), pa.int64(), pa.float64()
    turn = {
        "prompt_ids": pa.list_(pa.int32()),
        "completion_ids": pa.list_(pa.int32()),
        "logprobs": pa.list_(real),
        "policy_version": number,
        "text": text,
        "tool": text,
        "arguments": text,
        "error": text,
        "observation": text,
        "exit_code": number,
        "seconds": real,
        "extra": text,
    }
    return {
        **dict.fromkeys(("id", "run", "group"), text),
        "iteration": number,
        **dict.fromkeys(("instance_id", "repo", "base_commit", "problem_statement"), text),
        "turns": pa.list_(pa.struct(turn.items())),
        "patch": text,
        "answer": text,
        "files": pa.list_(text),
        "functions": pa.list_(text),
        "sources": text,
        "status": text,
        "resolved": pa.bool_(),
        "verdict": text,
        "reward": real,
        "policy_version": number,
        "agent": text,
        "backend": text,
        "network": pa.bool_(),
        "created_at": real,
        "seconds": real,
        "extra": text,
    }


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise FormatError("Parquet needs pyarrow: pip install 'contextrl[parquet]'") from error
    return pyarrow, pyarrow.parquet
