"""What runs were started with, and where two differ.

Invariant: a value that only one of them has is a difference; a run whose configuration was not kept differs in nothing.
Lists are compared whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One key, with its value in each run; None where a run does not have it."""

    key: str
    values: tuple[str | None, ...]
    known: tuple[bool, ...]
    """Whether the run's configuration was kept: where it was not, its values are nowhere known."""

    @property
    def differs(self) -> bool:
        """Whether not all of which it is known have the same."""
        return len({value for value, known in zip(self.values, self.known, strict=True) if known}) > 1


def lines(configurations: Sequence[Mapping[str, Any] | None]) -> list[Line]:
    """All keys, in the order of the first run that has them."""
    flat = [dict(_flat("", values or {})) for values in configurations]
    keys = dict.fromkeys(key for values in flat for key in values)
    known = tuple(bool(values) for values in configurations)
    return [Line(key, tuple(values.get(key) for values in flat), known) for key in keys]


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
