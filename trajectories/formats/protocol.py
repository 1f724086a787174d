"""What a format of trajectories is.

Invariant: whoever reads and writes trajectories knows formats only by this protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from trajectories.formats.files import FormatError, head
from trajectories.formats.json_values import first_value
from trajectories.records import Trajectory

__all__ = ["FormatError", "Sample", "TrajectoryFormat"]


@dataclass
class Sample:
    """The beginning of a file, for formats to know it by."""

    path: Path

    @cached_property
    def head(self) -> bytes:
        """Its first bytes, unpacked."""
        return head(self.path)

    @cached_property
    def first(self) -> Any:
        """The first JSON value: of a list the first item, of lines the first; None where it is not JSON."""
        return first_value(self.path)

    def has(self, *keys: str) -> bool:
        """Whether the first value is an object with these keys."""
        return isinstance(self.first, dict) and all(key in self.first for key in keys)


class TrajectoryFormat(Protocol):
    """One format. Add your own to `FORMATS`, or by an entry point of the group `contextrl.trajectory_formats`."""

    @property
    def name(self) -> str:
        """What `--format` takes."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How its files are called, the most usual first: `.traj.json`. Those of a folder are read if they end so."""

    def sniff(self, sample: Sample) -> bool:
        """Whether this looks like one of its files. May raise `FormatError` for a damaged file."""

    def read(self, path: Path) -> Iterator[Trajectory]:
        """The trajectories of a file, one at a time. Raises `FormatError`, naming the file and the line."""

    def write(self, trajectories: Iterable[Trajectory], path: Path) -> int:
        """Write them so that `read` gives them back equal; how many there were.

        Nothing is left behind at `path` unless all were written. Raises `FormatError`.
        """
