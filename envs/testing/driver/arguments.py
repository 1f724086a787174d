"""The arguments of a call as text, which `reading` makes fresh arguments from.

Invariant: what was encoded is not changed by it: no generator is advanced, no iterator consumed.
"""

from __future__ import annotations

import ast
import base64
import builtins
import copy
import enum
import inspect
import io
import pickle
import types
from collections.abc import Mapping, Sequence
from typing import Any

from .histories import Histories
from .modules import named, path_of
from .sources import definition
from .values import Encoder, among, bases_of, dumps, has_state, is_iterator, is_own

NODES = 400
MAX_CHARS = 6000
PICKLE_BYTES = 3000
_GIVEN = "_given"
"""What a generator expression goes over."""
_EMPTY: tuple[Any, ...] = ([], (), "", "é", range(0), b"", bytearray(), set(), {}, {}.values(), {}.items())
_COPYABLE = (*(type(iter(empty)) for empty in _EMPTY), type(reversed([])))
_LAZY: tuple[type, ...] = (map, filter, zip, enumerate)
_NAMED = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, types.MethodType)


class ArgumentError(ValueError):
    """A value cannot be told as text, or a text cannot be read; such a call is left out."""


class _Pickler(pickle.Pickler):
    """Notes which modules a pickle needs; refuses the repository's objects' inner state: a repair may change it."""

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.modules: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        named = among(type(value), (type, types.FunctionType))
        self.modules.add(str((value if named else type(value)).__module__))
        if not named and is_own(type(value)) and not isinstance(value, enum.Enum) and has_state(value):
            raise ArgumentError("an object of the repository, whose attributes are its own matter")
        return NotImplemented


class Arguments(Encoder):
    """The data of arguments: order kept, objects by pickle, functions by name or source."""

    sort = False

    def __init__(self, histories: Histories | None = None) -> None:
        super().__init__(NODES)
        self._histories = histories or Histories()

    def beyond(self) -> Any:
        """No half of an argument."""
        raise ArgumentError("too large")

    def other(self, kind: type, value: Any) -> Any:
        """What is no builtin data."""
        history = self._histories.of(value)
        if kind is types.ModuleType:
            return ["module", value.__name__]
        if type in bases_of(kind) or among(kind, _NAMED):
            return named(value) or self._bound(value) or self._written(value)
        if history is not None and (maker := history[0] or named(kind)):
            return ["made", maker, history[1:]]
        return self._iterator(kind, value) if is_iterator(kind) else self._pickled(value)

    def _iterator(self, kind: type, value: Any) -> list[Any]:
        if among(kind, _COPYABLE):
            return ["iterator", self.items(copy.copy(value))]
        if among(kind, _LAZY):
            made, inner, *state = value.__reduce__()
            if not state:
                return ["lazy", made.__name__, self.items(inner)]
        if kind is types.GeneratorType and value.gi_code.co_name == "<genexpr>":
            return self._generator(value)
        raise ArgumentError("an iterator that cannot be looked into")

    def _pickled(self, value: Any) -> list[Any]:
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, 4)
        try:
            pickler.dump(value)
        except Exception:
            raise ArgumentError("cannot be pickled") from None
        if buffer.tell() > PICKLE_BYTES:
            raise ArgumentError("too large")
        own = [[module, path] for module in sorted(pickler.modules) if (path := path_of(module))]
        return ["pickle", base64.b64encode(buffer.getvalue()).decode(), own]

    def told(self, positional: Sequence[Any], keyword: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments. Raises `ArgumentError`."""
        try:
            return self.items(positional), {name: self.data(value) for name, value in keyword.items()}
        except ArgumentError:
            raise
        except Exception as error:  # of the repository's own classes
            raise ArgumentError(f"{type(error).__name__} while looking at an argument") from None

    def _bound(self, value: Any) -> list[Any] | None:
        """A method of an object."""
        owner = getattr(value, "__self__", None)
        if type(value) is types.FunctionType or owner is None or type(owner) is types.ModuleType:
            return None
        return ["bound", self.data(owner), value.__name__]

    def _written(self, value: Any) -> list[Any]:
        """A lambda or an inner function by its source, its variables and the module whose names it uses."""
        if type(value) is not types.FunctionType or value.__defaults__ or value.__kwdefaults__:
            raise ArgumentError("a function without a name")
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        inner = [[name, self.data(cell.cell_contents)] for name, cell in cells]
        return ["source", *_source(_definition(value.__code__), value.__globals__), inner]

    def _generator(self, value: types.GeneratorType[Any, Any, Any]) -> list[Any]:
        """A generator expression that has not begun."""
        frame = value.gi_frame
        if frame is None or inspect.getgeneratorstate(value) != inspect.GEN_CREATED:
            raise ArgumentError("a generator that has begun")
        node = copy.deepcopy(_definition(value.gi_code))
        node.generators[0].iter = ast.Name(_GIVEN)  # type: ignore[attr-defined]
        names = [".0", *value.gi_code.co_freevars]
        inner = [[_GIVEN if name == ".0" else name, self.data(frame.f_locals[name])] for name in names]
        return ["source", *_source(node, frame.f_globals), inner]


def encode_call(
    module: str, positional: Sequence[Any], keyword: Mapping[str, Any], histories: Histories | None = None
) -> str:
    """The text of a call's arguments; `module` is the name under which the function's module was imported.

    Raises `ArgumentError`.
    """
    args, kwargs = Arguments(histories).told(positional, keyword)
    text = dumps({"module": module, "args": args, "kwargs": kwargs})
    if len(text) > MAX_CHARS:
        raise ArgumentError("too large")
    return text


def _definition(code: types.CodeType) -> ast.AST:
    found = definition(code)
    if found is None:
        raise ArgumentError("a function whose source is not found")
    return found


def _source(node: ast.AST, around: Mapping[str, Any]) -> list[str]:
    """Text, and the module whose names it needs with its file."""
    used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    module = around["__name__"] if used & around.keys() - vars(builtins).keys() else ""
    return [ast.unparse(node), module, path_of(module)]
