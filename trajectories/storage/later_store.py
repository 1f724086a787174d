"""The part of the store that is about what is learned later: what runs measured, lessons, margins, findings.

Invariant: as in `trajectories.store`, whose base class this is: each method is one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from trajectories.queries import Finding, FindingKind, Lesson, Margin, StoreRefusal
from trajectories.storage import later
from trajectories.storage.database import Database


class SQLLaterStore:
    """What each method promises is written in `TrajectoryStore`."""

    _db: Database

    def configuration(self, run: str) -> dict[str, Any] | None:
        """What the run was started with."""
        return self._db.read(lambda c: later.configuration(c, run))

    def configure(self, run: str, values: dict[str, Any]) -> None:
        """Keep what a run that has its name was started with."""
        self._db.write(lambda c: later.configure(c, run, values))

    def add_metrics(self, run: str, iteration: int, values: Mapping[str, Any]) -> None:
        """Keep what an iteration measured."""
        self._db.write(lambda c: later.add_metrics(c, run, iteration, values))

    def metrics(self, run: str, after: int = -1) -> list[dict[str, Any]]:
        """What the iterations of a run measured."""
        return self._db.read(lambda c: later.read_metrics(c, run, after))

    def add_tasks(self, run: str, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the tasks that a run is played on."""
        documents = {instance_id: _packed(document) for instance_id, document in tasks.items()}
        self._db.write(lambda c: later.add_tasks(c, run, documents))

    def task(self, instance_id: str, run: str = "") -> dict[str, Any] | None:
        """The task as the run has it, else as another one."""
        return self._db.read(lambda c: later.task(c, instance_id, run))

    def add_lessons(self, lessons: Iterable[Lesson]) -> None:
        """Keep what the learner made of trajectories when it first learned from them."""
        rows = [(one.trajectory_id, one.advantage, later.packed_numbers(one.logprobs)) for one in lessons]
        self._db.write(lambda c: later.add_lessons(c, rows))

    def lessons(self, ids: Collection[str]) -> dict[str, Lesson]:
        """By trajectory."""
        return self._db.read(lambda c: later.read_lessons(c, ids))

    def add_margins(self, margins: Iterable[Margin]) -> None:
        """Keep how a policy chose on pairs."""
        rows = list(margins)
        self._db.write(lambda c: later.add_margins(c, rows))

    def margins(self, pair_id: str) -> list[Margin]:
        """How policies chose on a pair, in the order in which that was measured."""
        return self._db.read(lambda c: later.read_margins(c, pair_id))

    def add_finding(
        self, kind: FindingKind, subject: str, document: Mapping[str, Any], *, keep: int | None = None, alike: str = ""
    ) -> None:
        """Keep what was found out, and with `keep` only so many of those whose documents have its value of `alike`."""
        data = _packed(document)

        def add(connection: sa.Connection) -> None:
            later.add_finding(connection, kind, subject, data)
            if keep is not None:
                later.drop_older(connection, kind, subject, keep, alike)

        self._db.write(add)

    def findings(self, kind: FindingKind, subject: str, limit: int = 10) -> list[Finding]:
        """What was found out, the newest first."""
        return self._db.read(lambda c: later.read_findings(c, kind, subject, limit))

    def pulse(self) -> tuple[str, int]:
        """What no other store has, and a number that every write raises."""
        return self._db.read(later.pulse)


def _packed(document: Mapping[str, Any]) -> bytes:
    try:
        return later.packed(document)
    except (TypeError, ValueError) as error:
        raise StoreRefusal(f"What JSON cannot say cannot be stored ({error}).") from error
