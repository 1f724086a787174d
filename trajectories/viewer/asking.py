"""What an address asks for, read strictly, and addresses that ask for something.

Invariant: a value that means nothing is a sentence (`Mistake`), never a silent default.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, urlencode

from trajectories.viewer.words import NAMELESS

MOST_PAGES = 10_000_000


class Mistake(ValueError):
    """What was asked for makes no sense, or is not there; the message is a sentence for a page."""


class Asked:
    """What stands behind the question mark. Empty values count as left out."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = [(name, value) for name, value in pairs if value]

    @classmethod
    def parse(cls, query: str) -> Asked:
        """Of the text behind the question mark."""
        return cls(parse_qsl(query))

    def all(self, name: str) -> list[str]:
        """All values of a name, each once."""
        return list(dict.fromkeys(value for key, value in self.pairs if key == name))

    def text(self, name: str) -> str | None:
        """The last value of a name."""
        found = self.all(name)
        return found[-1] if found else None

    def run(self, name: str) -> str | None:
        """A run's name; the run without one stands in addresses as `NAMELESS`, since empty values count as left out."""
        found = self.text(name)
        return "" if found == NAMELESS else found

    def runs(self, name: str) -> list[str]:
        """All runs that are named, each once."""
        return ["" if run == NAMELESS else run for run in self.all(name)]

    def question(self, name: str) -> Asked | None:
        """Another question that stands in this one."""
        found = self.text(name)
        try:
            return None if found is None else Asked(parse_qsl(found, strict_parsing=True))
        except ValueError:
            raise Mistake(f"In the address {name} is what stands behind the ? of another one.") from None

    def needed(self, name: str, what: str) -> str:
        """A value that must be there. `what`: how a sentence calls it."""
        found = self.text(name)
        if found is None:
            raise Mistake(f"This page needs {what}: add ?{name}=... to the address.")
        return found

    def whole(self, name: str, low: int = 0, high: int = MOST_PAGES) -> int | None:
        """A whole number."""
        found = self.text(name)
        if found is None:
            return None
        if not (found.isascii() and found.isdigit() and low <= int(found[:20]) <= high):
            raise Mistake(f"In the address {name} is a whole number from {low} to {high}, not {found[:40]!r}.")
        return int(found)

    def number(self, name: str) -> float | None:
        """A number."""
        found = self.text(name)
        try:
            value = None if found is None else float(found)
        except ValueError:
            value = math.nan
        if value is not None and not math.isfinite(value):
            raise Mistake(f"In the address {name} is a number, not {str(found)[:40]!r}.")
        return value

    def choice(self, name: str, options: Sequence[str]) -> str | None:
        """One of a few words."""
        found = self.text(name)
        if found is not None and found not in options:
            raise Mistake(f"In the address {name} is one of {', '.join(options)}, not {found[:40]!r}.")
        return found

    def one_of(self, name: str, options: Mapping[str, bool]) -> bool | None:
        """What one of a few words stands for."""
        found = self.choice(name, list(options))
        return None if found is None else options[found]

    def changed(self, **changes: object) -> str:
        """The same question with other values; None leaves one out."""
        kept = [(name, value) for name, value in self.pairs if name not in changes]
        return urlencode(kept + _given(changes))


def address(path: str, **values: object) -> str:
    """A path and what it is asked for. Lists give a name several times; None and empty texts are left out."""
    query = urlencode(_given(values))
    return f"{path}?{query}" if query else path


def _given(values: Mapping[str, object]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        several = value if isinstance(value, list | tuple) else [value]
        found += [(name, _text(one)) for one in several if one is not None and one != ""]
    return found


def _text(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()
