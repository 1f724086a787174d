"""One text for what a call answered, without asking the value.

Invariant: `__eq__`, `__class__`, `__reduce__`, `__repr__` and `__getattribute__` of the value are never asked, so no
object passes for another; only an iterator's `__next__` is called: what it gives is its contents. What is equal, and
can stand for another, has one text. Every text is bounded, whatever the value is.
"""

from __future__ import annotations

import collections
import hashlib
import types
from collections.abc import Callable
from typing import Any

from .values import CUT, Encoder, among, attributes_of, bases_of, dumps, is_iterator, is_own, name_of

ELEMENTS = 200
"""How many elements count of a list, or are taken from an iterator."""
MAX_CHARS = 2000
"""A longer answer is told by its hash."""
_OPAQUE = ["opaque"]
"""An object of somebody else's: which one it is says how the answer was made, and not what it is."""
_EQUAL = {"frozenset": "set", "bytearray": "bytes"}
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
        return _as_equal(super().data(value))

    def listed(self, value: list[Any]) -> list[Any]:
        """As many elements as are taken from an iterator."""
        return self.items(value[:ELEMENTS]) + [CUT] * (len(value) > ELEMENTS)

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
        return ["list", [*found, CUT]]

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
        shown = [name for name in state if str(name)[:1] != "_" and name not in cached]
        shown += ["_name_"] if member and "_name_" in state else []
        return [[name, self.data(state[name])] for name in sorted(shown, key=str) if self._left > 0]


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
