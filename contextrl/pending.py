"""Episodes that have finished, while they wait for those before them.

Invariant: an episode is on disk from the moment that it has finished: here until it is in the store, then there. What
is half written is not there.
"""

from __future__ import annotations

import os
from pathlib import Path

from trajectories.records import Trajectory


class Pending:
    """A folder with a file for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, trajectory: Trajectory) -> None:
        """Keep it. Raises `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._folder / f".{trajectory.id}"
        new.write_text(trajectory.model_dump_json(), encoding="utf-8")
        os.replace(new, self._file(trajectory))

    def drop(self, trajectory: Trajectory) -> None:
        """It is in the store."""
        self._file(trajectory).unlink(missing_ok=True)

    def all(self) -> list[Trajectory]:
        """Those that an earlier session left."""
        files = sorted(self._folder.glob("[!.]*.json")) if self._folder.is_dir() else []
        return [Trajectory.model_validate_json(file.read_text(encoding="utf-8")) for file in files]

    def _file(self, trajectory: Trajectory) -> Path:
        return self._folder / f"{trajectory.id}.json"
