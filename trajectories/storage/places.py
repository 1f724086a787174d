"""Numbers for repositories, files and functions, so that an index holds a number for each and not a long name.

Invariant: a place has one number for ever. Only numbers of a transaction that ended well are remembered: what one
writes may still be taken back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from trajectories.queries import Stage
from trajectories.records import Trajectory
from trajectories.storage.schema import places

_REMEMBERED = 100_000
_FIND = sa.select(places.c.number).where(
    places.c.stage == sa.bindparam("stage"),
    places.c.name == sa.bindparam("name"),
    places.c.repo == sa.bindparam("repo"),
)


class Place(NamedTuple):
    """Where a trajectory touches; `name` is empty for a whole repository."""

    stage: Stage
    name: str
    repo: str

    @property
    def bare(self) -> str:
        """The last part of the name: `a.py` of the file `pkg/a.py`, `area` of the function `pkg/a.py::Shape.area`."""
        return bare_name(self.stage, self.name)


def bare_name(stage: Stage, name: str) -> str:
    """The last part of a name, or of the end of one."""
    if stage == "function":
        return name.rpartition("::")[2].rpartition(".")[2]
    return name.rpartition("/")[2]


def places_of(trajectory: Trajectory) -> list[Place]:
    """All that it touches, each once."""
    found = [Place("repo", "", trajectory.repo)]
    found += [Place("file", name, trajectory.repo) for name in trajectory.files]
    found += [Place("function", name, trajectory.repo) for name in trajectory.functions]
    return list(dict.fromkeys(found))


class PlaceNumbers:
    """The numbers of places as one transaction sees them. `known`: those that earlier ones wrote."""

    def __init__(self, known: dict[Place, int]) -> None:
        self._known = known
        self.fresh: dict[Place, int] = {}
        """What it learned or wrote: to be added to what is known once the transaction has ended well."""

    def of(self, connection: sa.Connection, wanted: Iterable[Place]) -> list[int]:
        """Their numbers; those that have none get one."""
        return [self._known.get(p) or self.fresh.get(p) or self._find(connection, p) for p in wanted]

    def _find(self, connection: sa.Connection, place: Place) -> int:
        number: int | None = connection.scalar(_FIND, place._asdict())
        if number is None:
            row = {**place._asdict(), "bare": place.bare}
            key = connection.execute(places.insert(), row).inserted_primary_key
            number = int(key[0]) if key else 0
        self.fresh[place] = number
        return number


def remember(known: dict[Place, int], fresh: dict[Place, int]) -> None:
    """Add what a transaction that has ended well learned, within bounds."""
    if len(known) + len(fresh) > _REMEMBERED:
        known.clear()
    known.update(fresh)


def find(connection: sa.Connection, stage: Stage, name: str, repo: str | None) -> list[str]:
    """Full names of files or functions that are called so: exactly, or else by how they end; in their order.

    `area`, `Shape.area` and `a.py::Shape.area` all find `pkg/a.py::Shape.area`.
    """
    c = places.c
    alike = sa.select(c.name).distinct().where(c.stage == stage, c.bare == bare_name(stage, name))
    found = sorted(connection.scalars(alike if repo is None else alike.where(c.repo == repo)))
    ends = tuple(separator + name for separator in ("/", "::", "."))
    return [name] if name in found else [full for full in found if full.endswith(ends)]
