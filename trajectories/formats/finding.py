"""Which of the files that a user names are read, and as what.

Invariant: every file is found, or told: as a problem where it may hold trajectories, else as passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trajectories.formats import FormatError, TrajectoryFormat, find, recognise
from trajectories.formats.folders import Walk

MEND = "mend the file or get it again, and the same command goes on"


@dataclass(frozen=True)
class Found:
    """A file and its format."""

    path: Path
    form: TrajectoryFormat


def find_files(
    paths: Sequence[Path], name: str, walk: Walk, on_found: Callable[[int], None] = lambda found: None
) -> list[Found]:
    """The files to import, in order; what is left out is told to `walk`. `name`: their format, or `auto`.

    Raises `FormatError` for an unknown format, and for a path that is not there.
    """
    given = None if name == "auto" else find(name)
    for path in paths:
        if not path.exists():
            raise FormatError(f"{path} is not there: check the path")
    found = []
    for path in paths:
        for file in walk.files(path):
            try:
                form = recognise(file) if given is None or path.is_dir() else given
            except FormatError as error:
                walk.problems.append(f"{error}; nothing of it is imported: {MEND}")
                continue
            if form is not None and (given is None or form.name == given.name):
                found.append(Found(file, form))
                on_found(len(found))
            elif file == path:
                walk.problems.append(f"{path} is of no format that is known: name it with --format")
            else:
                walk.passed_over[form.name if form else "no trajectory"].append(file)
    return found
