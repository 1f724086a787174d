"""Our own lines: the record as JSON, whole; gzipped if the name ends in .gz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from trajectories.formats.document import fields, no_trajectory
from trajectories.formats.files import FormatError
from trajectories.formats.json_values import values
from trajectories.formats.protocol import Sample
from trajectories.formats.writing import write_lines
from trajectories.records import Trajectory


class NativeFormat:
    """A trajectory a line."""

    name = "contextrl"
    suffixes = (".jsonl", ".jsonl.gz", ".json")

    def sniff(self, sample: Sample) -> bool:
        """See `TrajectoryFormat.sniff`."""
        return sample.has("id", "instance_id", "problem_statement", "base_commit", "turns")

    def read(self, path: Path) -> Iterator[Trajectory]:
        """See `TrajectoryFormat.read`."""
        for line, value in values(path):
            try:
                yield Trajectory.model_validate(value)
            except ValidationError as error:
                raise FormatError(f"{path}, line {line}: {no_trajectory(self.name, error)}") from error

    def write(self, trajectories: Iterable[Trajectory], path: Path) -> int:
        """See `TrajectoryFormat.write`."""
        written = 0

        def rows() -> Iterator[object]:
            nonlocal written
            for trajectory in trajectories:
                written += 1
                yield fields(trajectory)

        write_lines(rows(), path)
        return written
