"""The pages of a long table, and its order, as an address asks for them.

Invariant: a page that is not there is a sentence, never an empty table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trajectories.viewer.asking import Asked, Mistake

PER_PAGE = 50
"""Rows of a table."""


class Paging(NamedTuple):
    """Which page is shown. Templates know these names."""

    number: int
    """From 1."""
    pages: int
    """How many there are, at least one."""
    offset: int
    """Rows before it."""
    changed: Callable[..., str]
    """Makes the address of another one (`Asked.changed`)."""


class Order(NamedTuple):
    """How a table is sorted. Templates know these names."""

    sort: Any
    """One of the columns that it was made of."""
    descending: bool


def paging(asked: Asked, total: int, each: int = PER_PAGE) -> Paging:
    """The page that is asked for, the first unless it is said. Raises `Mistake` where `total` rows have none such."""
    number, pages = asked.whole("page", 1) or 1, max(1, -(-total // each))
    if number > pages:
        raise Mistake(f"There is no such page: the last one is {pages}.")
    return Paging(number, pages, (number - 1) * each, asked.changed)


def order(asked: Asked, columns: Sequence[str]) -> Order:
    """By which of the columns, and whether downwards: the newest first, unless it is said. Raises `Mistake`."""
    sort = asked.choice("sort", columns) or "position"
    return Order(sort, asked.choice("order", ("up", "down")) != "up")
