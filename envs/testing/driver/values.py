"""JSON data for Python values: what arguments and answers have in common.

Invariant: the data is made of exact types and their contents; classes are asked past what their metaclasses may say.
"""

from __future__ import annotations

import collections
import json
import os
import sys
import types
from collections.abc import Iterable
from typing import Any

NODES = 3000
"""Values in one text; what is beyond is cut."""
DEPTH = 40
CUT = ["cut"]
_DICTS = (dict, collections.Counter, collections.OrderedDict)
_BY_TEXT: dict[str, tuple[str, ...]] = {
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID",),
    "pathlib": ("PosixPath",),
}
_BY_TEXT |= {"datetime": ("date", "time", "datetime", "timedelta", "timezone")}
_HERE = os.getcwd() + os.sep


def dumps(data: Any) -> str:
    """Compact JSON."""
    return json.dumps(data, separators=(",", ":"))


def name_of(kind: type) -> str:
    """`module.qualname`, or `qualname` for a builtin, past what its metaclass may say."""
    module, name = type.__dict__["__module__"].__get__(kind), type.__dict__["__qualname__"].__get__(kind)
    return str(name) if module == "builtins" else f"{module}.{name}"


def bases_of(kind: type) -> tuple[type, ...]:
    """The method resolution order, past what the class's metaclass may say."""
    return type.__dict__["__mro__"].__get__(kind)  # type: ignore[no-any-return]


def attributes_of(kind: type) -> types.MappingProxyType[str, Any]:
    """A class's own attributes, past what its metaclass may say."""
    return type.__dict__["__dict__"].__get__(kind)  # type: ignore[no-any-return]


def among(kind: type, kinds: Iterable[type]) -> bool:
    """Whether a class is one of these, and not just equal to it by its metaclass."""
    return any(kind is other for other in kinds)


def is_iterator(kind: type) -> bool:
    """Whether objects of this class are iterators."""
    return any("__next__" in attributes_of(base) for base in bases_of(kind))


class Encoder:
    """JSON data for a value: what answers and arguments have in common."""

    sort = True
    """Whether a dict's order counts for nothing, as in `==`."""

    def __init__(self, nodes: int = NODES) -> None:
        self._left = nodes
        self._path: list[int] = []

    def data(self, value: Any) -> Any:
        """JSON data: None, bool, str and small int as they are, anything else a list that begins with its kind."""
        kind = type(value)
        self._left -= 1
        if kind is str:
            self._left -= len(value) // 64
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if -(1 << 63) <= value < 1 << 63 else ["int", hex(value)]
        if self._left <= 0 or len(self._path) > DEPTH:
            return self.beyond()
        if id(value) in self._path:
            return ["cycle", len(self._path) - self._path.index(id(value))]
        self._path.append(id(value))
        try:
            found = self._container(kind, value) or self._scalar(kind, value)
            return self.other(kind, value) if found is None else found
        finally:
            self._path.pop()

    def beyond(self) -> Any:
        """What stands for all that is too much."""
        return CUT

    def number(self, value: float) -> str:
        """The text of a float."""
        return repr(value)

    def other(self, kind: type, value: Any) -> Any:
        """What is no builtin data."""
        raise NotImplementedError

    def items(self, values: Iterable[Any]) -> list[Any]:
        """The data of some values, in their order."""
        found: list[Any] = []
        for value in values:
            if self._left <= 0:
                return [*found, self.beyond()]
            found.append(self.data(value))
        return found

    def listed(self, value: list[Any]) -> list[Any]:
        """The data of a list's elements."""
        return self.items(value)

    def _pairs(self, value: dict[Any, Any], ordered: bool) -> list[Any]:
        pairs = [self.items(pair) for pair in dict.items(value) if self._left > 0]
        pairs += [self.beyond()] if self._left <= 0 else []
        return pairs if ordered else sorted(pairs, key=dumps)

    def _container(self, kind: type, value: Any) -> list[Any] | None:
        found: list[Any] | None = None
        if kind is list:
            found = ["list", self.listed(value)]
        elif kind is tuple:
            found = ["tuple", self.items(value)]
        elif kind is set or kind is frozenset:
            found = [kind.__name__, sorted(self.items(value), key=dumps)]
        elif among(kind, _DICTS):
            found = [kind.__name__, self._pairs(value, not self.sort or kind is collections.OrderedDict)]
        elif kind is collections.defaultdict:
            found = ["defaultdict", self._pairs(value, not self.sort), self.data(value.default_factory)]
        elif kind is collections.deque:
            found = ["deque", self.items(value), value.maxlen]
        elif kind is slice or kind is range:
            found = [kind.__name__, self.items([value.start, value.stop, value.step])]
        return found

    def _scalar(self, kind: type, value: Any) -> list[Any] | None:
        if kind is float:
            return ["float", self.number(value)]
        if kind is complex:
            return ["complex", self.number(value.real), self.number(value.imag)]
        if kind is bytes or kind is bytearray:
            self._left -= len(value) // 64
            return [kind.__name__, value.decode("latin-1")]
        if value is ... or value is NotImplemented:
            return ["constant", repr(value)]
        for module, names in _BY_TEXT.items():
            if module in sys.modules and any(kind is vars(sys.modules[module]).get(name) for name in names):
                return [f"{module}.{kind.__name__}", str(value) if module != "datetime" else repr(value)]
        return None


def is_own(kind: type) -> bool:
    """Whether a class is one of the repository."""
    module = sys.modules.get(str(type.__dict__["__module__"].__get__(kind)))
    return str(getattr(module, "__file__", None) or "").startswith(_HERE)


def has_state(value: Any) -> bool:
    """Whether an object has attributes of its own."""
    slots = (part for base in bases_of(type(value)) for part in attributes_of(base).values())
    return bool(getattr(value, "__dict__", None)) or any(type(part) is types.MemberDescriptorType for part in slots)
