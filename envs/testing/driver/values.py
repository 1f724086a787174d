"""One text for a Python value: what a hidden call answered, without asking the value.

Invariant: the text is made of exact types and their contents. `__eq__`, `__class__`, `__reduce__`, `__repr__` and
`__getattribute__` of the value are never asked, so no object passes for another. Only an iterator's `__next__` is
called: what it gives is its contents. Every text is bounded, whatever the value is.
"""

from __future__ import annotations

import collections
import hashlib
import json
import os
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

NODES = 3000
"""Values in one text; what is beyond is cut."""
DEPTH = 40
ELEMENTS = 200
"""How many elements count of a list, or are taken from an iterator."""
MAX_CHARS = 2000
"""A longer answer is told by its hash."""
_CUT = ["cut"]
_DICTS = (dict, collections.Counter, collections.OrderedDict)
_BY_TEXT: dict[str, tuple[str, ...]] = {
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "uuid": ("UUID",),
    "pathlib": ("PosixPath",),
}
_BY_TEXT |= {"datetime": ("date", "time", "datetime", "timedelta", "timezone")}
_OPAQUE = ["opaque"]
"""An object of somebody else's: which one it is says how the answer was made, and not what it is."""
_EQUAL = {"frozenset": "set", "bytearray": "bytes"}
_HERE = os.getcwd() + os.sep
_INSIDE: dict[type, Callable[[Any], Any]] = {
    int: int.__pos__,
    float: float.__pos__,
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: lambda value: bytearray.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    dict: dict.copy,
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    collections.deque: lambda value: list(collections.deque.__iter__(value)),
}
"""What an object of a subclass holds as its base's content, by the base's own methods."""


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
        return _CUT

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

    def _pairs(self, value: dict[Any, Any], ordered: bool) -> list[Any]:
        pairs = [self.items(pair) for pair in dict.items(value) if self._left > 0]
        pairs += [self.beyond()] if self._left <= 0 else []
        return pairs if ordered else sorted(pairs, key=dumps)

    def _container(self, kind: type, value: Any) -> list[Any] | None:
        found: list[Any] | None = None
        if kind is list or kind is tuple:
            found = [kind.__name__, self.items(value)]
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


class Answer(Encoder):
    """The data of an answer. `drain` takes what iterators hold.

    What is equal has one text, as far as callers can rely on it: a dict is a dict whatever made it, an iterator is the
    list of what it gives, 2.0 is 2, and of an object of the repository only what is public counts.
    """

    def __init__(self, drain: bool = True) -> None:
        super().__init__()
        self._drain = drain

    def data(self, value: Any) -> Any:
        """See the class."""
        if type(value) is list and len(value) > ELEMENTS:
            return ["list", [*self.items(list.__getitem__(value, slice(ELEMENTS))), _CUT]]
        return _as_equal(super().data(value))

    def number(self, value: float) -> str:
        """Twelve digits: in which order a sum was made shows in the last ones."""
        return repr(float(f"{value:.12g}"))

    def other(self, kind: type, value: Any) -> Any:
        """Iterators by what they give, errors by their class, the repository's objects by their class and state."""
        bases = bases_of(kind)
        if among(type, bases):
            return ["class", name_of(value)]
        if kind is types.ModuleType:
            return ["module"]
        if among(BaseException, bases):
            return ["error", name_of(kind)]
        if is_iterator(kind):
            return self._elements(value) if self._drain else ["iterator"]
        readers = [read for base in bases for known, read in _INSIDE.items() if base is known]
        content = [self.data(read(value)) for read in readers[:1]]
        member = [attributes_of(base) for base in bases if name_of(base) == "enum.Enum"]
        if not content and not member and not is_own(kind):
            return ["callable"] if any("__call__" in attributes_of(base) for base in bases) else _OPAQUE
        return ["object", name_of(kind), self._state(value, bases, bool(member)), *content]

    def _elements(self, iterator: Any) -> list[Any]:
        found: list[Any] = []
        while self._left > 0:
            try:
                item = next(iterator)
            except StopIteration:
                return ["list", found]
            except Exception as error:
                return ["list", found, ["raises", name_of(type(error))]]
            if len(found) == ELEMENTS:
                break
            found.append(self.data(item))
        return ["list", [*found, _CUT]]

    def _state(self, value: Any, bases: tuple[type, ...], member: bool) -> list[Any]:
        """Public slots and instance attributes, read by the interpreter's own descriptors; of an enum its name."""
        state: dict[str, Any] = {}
        cached: set[str] = set()
        for base in reversed(bases):
            for name, attribute in attributes_of(base).items():
                try:
                    if type(attribute) is types.MemberDescriptorType:
                        state[name] = attribute.__get__(value)
                    elif name == "__dict__" and type(attribute) is types.GetSetDescriptorType:
                        state.update(attribute.__get__(value))
                    elif name_of(type(attribute)).endswith("cached_property"):
                        cached.add(name)  # whether it was asked is no matter
                except (AttributeError, TypeError):  # an empty slot
                    continue
        shown = {name for name in state if str(name)[:1] != "_"} - cached | (
            {"_name_"} & state.keys() if member else set()
        )
        return [[name, self.data(state[name])] for name in sorted(shown, key=str) if self._left > 0]


def is_own(kind: type) -> bool:
    """Whether a class is one of the repository."""
    module = sys.modules.get(str(type.__dict__["__module__"].__get__(kind)))
    return str(getattr(module, "__file__", None) or "").startswith(_HERE)


def has_state(value: Any) -> bool:
    """Whether an object has attributes of its own."""
    slots = (part for base in bases_of(type(value)) for part in attributes_of(base).values())
    return bool(getattr(value, "__dict__", None)) or any(type(part) is types.MemberDescriptorType for part in slots)


def _as_equal(data: Any) -> Any:
    """The data of what is equal to a value and can stand for it."""
    if not isinstance(data, list):
        return data
    kind = data[0]
    if kind == "float" and data[1].endswith(".0"):
        return int(float(data[1]))
    if kind in ("Counter", "OrderedDict", "defaultdict"):
        return ["dict", sorted(data[1], key=dumps)]
    return [_EQUAL.get(kind, kind), *data[1:]] if isinstance(kind, str) else data


def canonical(value: Any, drain: bool = True) -> Any:
    """The JSON data of an answer; for one that is too long, that of its hash."""
    data = Answer(drain).data(value)
    text = dumps(data)
    return data if len(text) <= MAX_CHARS else ["sha256", hashlib.sha256(text.encode()).hexdigest()]
