"""Looking after a store: what it holds in numbers, who trains into it, and taking out what is not wanted.

Invariant: trajectories go only when asked for by a filter; a batch goes in one transaction, so that interrupted at any
moment it leaves a store that is whole, and the same command goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Unpack

from trajectories.queries import Filters, Stage
from trajectories.storage import cleaning, inventory, names, overview, places
from trajectories.storage.cleaning import Amount, Unused
from trajectories.storage.indexing import when_asked
from trajectories.storage.overview import Part, Shared
from trajectories.store import SQLStore

_NAMES = {
    "run": inventory.run_names,
    "repository": inventory.repositories,
    "set": inventory.sets_of_pairs,
    "repository with pairs": inventory.repositories_with_pairs,
}


class Upkeep:
    """Of one store, which it does not close."""

    def __init__(self, store: SQLStore) -> None:
        self._db = store.database

    def parts(self, by: Literal["run", "repo"], **filters: Unpack[Filters]) -> list[Part]:
        """What it holds of each run or repository, of the trajectories that pass the filters."""
        when_asked(self._db, filters)
        return self._db.read(lambda c: overview.parts(c, by, filters))

    def shared(self) -> Shared:
        """The texts that trajectories share."""
        return self._db.read(overview.shared)

    def size(self) -> int:
        """Bytes that the database takes."""
        return self._db.size()

    def names(self, kind: Literal["run", "repository", "set", "repository with pairs"]) -> list[str]:
        """All names of a kind."""
        return self._db.read(_NAMES[kind])

    def commits(self, start: str) -> list[str]:
        """Base commits that start so."""
        return self._db.read(lambda c: inventory.commits(c, start))

    def asked_about(self, name: str, repo: str | None = None) -> list[str]:
        """Full names of functions that pairs ask about and that are called so, or else end so."""
        return self._db.read(lambda c: inventory.functions_with_pairs(c, name, repo))

    def called(self, stage: Stage, name: str, repo: str | None = None) -> list[str]:
        """Full names of files or functions that are called so, or else end so."""
        return self._db.read(lambda c: places.find(c, stage, name, repo))

    def holders(self) -> dict[str, str]:
        """Which process holds each run that is held (`trajectories.storage.holders`)."""
        return self._db.read(names.holders)

    def count(self, **filters: Unpack[Filters]) -> Amount:
        """What `delete` would take."""
        when_asked(self._db, filters)
        return self._db.read(lambda c: cleaning.count(c, filters))

    def delete(self, progress: Callable[[int], None] | None = None, **filters: Unpack[Filters]) -> Amount:
        """Take out all trajectories that pass the filters, with their pairs; what is added meanwhile stays.

        `progress` is told how many have gone.
        """
        if filters.get("before") is None:
            filters["before"] = self._db.read(cleaning.end)
        when_asked(self._db, filters)
        gone = Amount(0, 0)
        while (batch := self._db.write(lambda c: cleaning.delete(c, filters))).trajectories:
            gone = Amount(gone.trajectories + batch.trajectories, gone.pairs + batch.pairs)
            if progress:
                progress(gone.trajectories)
        return gone

    def begin(self, what: str) -> None:
        """Remember that something is being taken out, whatever happens meanwhile. `what`: the words of who asked."""
        self._db.write(lambda c: cleaning.begin(c, what))

    def unfinished(self) -> str | None:
        """What was begun and never ended, in the words of who asked; None where nothing was."""
        return self._db.read(cleaning.unfinished)

    def end(self) -> None:
        """What was begun is done."""
        self._db.write(cleaning.end_of_cleaning)

    def unused(self) -> Unused:
        """What `sweep` would take."""
        return self._db.read(cleaning.unused)

    def sweep(self) -> Unused:
        """Take out texts and contexts that no row names."""
        return self._db.write(cleaning.sweep)

    def compact(self) -> None:
        """Give the space of what has gone back."""
        self._db.compact()
