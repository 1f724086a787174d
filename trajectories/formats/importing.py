"""Trajectories from files into a store.

Invariant: whatever ends an import, what was read before it is stored, and importing the same again changes nothing and
goes on from there. A file that is damaged does not keep the others out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trajectories.admission import objection_to
from trajectories.formats import FormatError, TrajectoryFormat, find, inside, recognise
from trajectories.formats.json_values import place_of
from trajectories.protocol import StoreError, TrajectoryStore
from trajectories.records import Trajectory

_BATCH = 32
"""Trajectories of a transaction."""


@dataclass
class Imported:
    """What became of an import."""

    read: Counter[str] = field(default_factory=Counter)
    """Format -> trajectories."""
    runs: Counter[str] = field(default_factory=Counter)
    new: int = 0
    """Those that were not there before."""
    functions: int = 0
    sources: int = 0
    """Touched functions whose text at the base commit is known."""
    passed_over: list[Path] = field(default_factory=list)
    """Files of a folder that no format knows."""
    problems: list[str] = field(default_factory=list)
    """One sentence for each file that could not be read to its end."""


@dataclass
class Found:
    """A file and its format."""

    path: Path
    form: TrajectoryFormat


def find_files(paths: Sequence[Path], name: str, result: Imported) -> list[Found]:
    """The files to import, in order. `name`: their format, or `auto`.

    Raises `FormatError` for an unknown format, for a path that is not there or that no format knows.
    """
    given = None if name == "auto" else find(name)
    found = []
    for path in paths:
        if not path.exists():
            raise FormatError(f"{path} is not there: check the path")
        for file in inside(path):
            try:
                form = recognise(file) if given is None or path.is_dir() else given
            except FormatError as error:
                if file == path and given is None:
                    raise
                result.problems.append(str(error))
                continue
            if form is None or (given is not None and form.name != given.name):
                if file == path:
                    raise FormatError(f"{path} is of no format that is known: name it with --format")
                result.passed_over.append(file)
            else:
                found.append(Found(file, form))
    return found


def import_files(
    files: Sequence[Found],
    store: TrajectoryStore,
    change: Callable[[Trajectory], Trajectory],
    result: Imported,
    on_file: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> None:
    """Store the trajectories of these files, each after `change`; counts go to `result`."""
    for number, file in enumerate(files):
        on_file(number, len(files), f"{file.path.name}, {result.read.total()} trajectories")
        try:
            for batch in _batches(_read(file, change, result), result):
                _add(store, batch, result)
                on_file(number, len(files), f"{file.path.name}, {result.read.total()} trajectories")
        except FormatError as error:
            result.problems.append(str(error))
        except StoreError as error:
            raise StoreError(f"{file.path}: {error}") from error
    on_file(len(files), len(files), f"{result.read.total()} trajectories")


def _read(file: Found, change: Callable[[Trajectory], Trajectory], result: Imported) -> Iterator[Trajectory]:
    for number, trajectory in enumerate(map(change, file.form.read(file.path)), 1):
        if objection := objection_to(trajectory):
            raise FormatError(f"{place_of(file.path, number)}: {objection}; what stands before it is imported")
        yield trajectory
        result.read[file.form.name] += 1


def _batches(trajectories: Iterator[Trajectory], result: Imported) -> Iterator[list[Trajectory]]:
    """Lists to store at once. What was read before an error or Ctrl-C is given out before that goes on."""
    batch: list[Trajectory] = []
    while True:
        failure: BaseException | None = None
        try:
            batch.append(next(trajectories))
        except StopIteration:
            break
        except (FormatError, KeyboardInterrupt) as error:
            failure = error
        if failure is not None or len(batch) == _BATCH:
            yield batch
            batch = []
        if failure is not None:
            raise failure
    if batch:
        yield batch


def _add(store: TrajectoryStore, batch: list[Trajectory], result: Imported) -> None:
    if not batch:
        return
    there = store.get_many([t.id for t in batch], tokens=False)
    try:
        store.add_many(batch)
    except StoreError:
        for trajectory in batch:  # all but the one that is refused
            store.add(trajectory)
    for trajectory in batch:
        result.new += trajectory.id not in there
        result.runs[trajectory.run] += 1
        result.functions += len(trajectory.functions)
        result.sources += len(trajectory.sources)
