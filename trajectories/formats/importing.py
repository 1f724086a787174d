"""Trajectories from files into a store.

Invariant: whatever ends an import, what was stored before it stays whole, and importing the same again changes nothing
and goes on from there. A file that is damaged, or that holds what no store takes, does not keep the others out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trajectories.admission import objection_to
from trajectories.formats import FormatError, TrajectoryFormat, recognise
from trajectories.formats.completing import id_in, into_run
from trajectories.formats.finding import MEND, Found
from trajectories.formats.folders import Walk
from trajectories.formats.json_values import place_of
from trajectories.protocol import StoreError, StoreRefusal, TrajectoryStore
from trajectories.records import Trajectory

_BATCH = 32
"""Trajectories of a transaction."""
_Both = tuple[Trajectory, Trajectory]
"""A trajectory as it was read, and as it is stored."""
Progress = Callable[[int, int, str], None]
"""Files done, files in all, what is done now."""


@dataclass
class Imported(Walk):
    """What became of an import."""

    stored: Counter[str] = field(default_factory=Counter)
    """Format -> trajectories that the store has now, whether or not it had them before."""
    runs: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    """Another run -> how many of these it has too."""
    new: int = 0
    functions: int = 0
    sources: int = 0
    """Touched functions whose text at the base commit is known."""


class Importer:
    """Stores what files hold: each trajectory as `change` makes it, in the run that `run_of` says."""

    def __init__(
        self,
        store: TrajectoryStore,
        result: Imported,
        change: Callable[[Trajectory], Trajectory] = lambda trajectory: trajectory,
        run_of: Callable[[Trajectory], str] = lambda trajectory: trajectory.run,
    ) -> None:
        self._store, self._result, self._change, self._run_of = store, result, change, run_of
        self._others = [run.run for run in store.runs()]

    def check_run(self, files: Sequence[Found]) -> None:
        """A run that has trajectories must have the first of these, or they come from elsewhere: `FormatError`."""
        first = next((t for file in files if (t := _first(file)) is not None), None)
        if first is None:
            return
        run = self._run_of(first)
        if self._store.count(run=run) and not self._store.get_many([id_in(first, run)], tokens=False):
            raise FormatError(
                f"the run {run} has trajectories from elsewhere already: --append these, or give another --run"
            )

    def add(self, files: Sequence[Found], on_file: Progress = lambda done, total, text: None) -> None:
        """Store the trajectories of these files. Raises `StoreError` when the store takes no more at all."""
        stored = self._result.stored
        for number, file in enumerate(files):
            before = stored.total()
            try:
                for batch in self._batches(file):
                    on_file(number, len(files), f"{file.path.name}, {stored.total()} trajectories")
                    self._add(batch, file.form.name)
            except FormatError as error:
                self._result.problems.append(_stopped(file, error, stored.total() - before))
            except StoreError as error:
                kept = stored.total() - before
                place = place_of(file.path, kept + 1)
                told = FormatError(f"{place}: {str(error).rstrip('.')}")
                if not isinstance(error, StoreRefusal):
                    raise StoreError(f"{told}; {stored.total()} are imported, and the same command goes on") from error
                self._result.problems.append(_stopped(file, told, kept))
        on_file(len(files), len(files), f"{stored.total()} trajectories")

    def _batches(self, file: Found) -> Iterator[list[_Both]]:
        """What to store at once. What was read before an error is given out before that is raised."""
        batch: list[_Both] = []
        failure: FormatError | None = None
        try:
            for both in self._read(file):
                batch.append(both)
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
        except FormatError as error:
            failure = error
        if batch:
            yield batch
        if failure is not None:
            raise failure

    def _read(self, file: Found) -> Iterator[_Both]:
        for number, found in enumerate(file.form.read(file.path), 1):
            kept = into_run(self._change(found), self._run_of(found))
            if objection := objection_to(kept):
                raise FormatError(f"{place_of(file.path, number)}: {objection}")
            yield found, kept

    def _add(self, batch: Sequence[_Both], form: str) -> None:
        own = [kept for _, kept in batch]
        there = self._store.get_many([t.id for t in own], tokens=False)
        try:
            self._store.add_many(own)
        except StoreError:
            if len(batch) == 1:
                raise
            for both in batch:  # all before the one that is refused
                self._add([both], form)
            return
        elsewhere = {id_in(found, other): other for found, kept in batch for other in self._others if other != kept.run}
        result = self._result
        result.elsewhere.update(elsewhere[i] for i in self._store.get_many(elsewhere, tokens=False))
        result.stored[form] += len(own)
        result.new += len({t.id for t in own} - there.keys())
        result.runs.update(t.run for t in own)
        result.functions += sum(len(t.functions) for t in own)
        result.sources += sum(len(t.sources) for t in own)


def _first(file: Found) -> Trajectory | None:
    try:
        return next(file.form.read(file.path), None)
    except FormatError:
        return None


def _stopped(file: Found, error: FormatError, kept: int) -> str:
    """What was wrong, what is imported of the file, and what to do."""
    if kept:
        many = f"{kept} trajectories" if kept > 1 else "1 trajectory"
        return f"{error}; what stands before it is imported ({many}), the rest is not: {MEND}"
    other = _looks_like(file.path)
    if other is not None and other.name != file.form.name:
        return f"{error}; it looks like {other.name}: leave --format out, or give that one"
    return f"{error}; nothing of it is imported: {MEND}"


def _looks_like(path: Path) -> TrajectoryFormat | None:
    try:
        return recognise(path)
    except FormatError:
        return None
