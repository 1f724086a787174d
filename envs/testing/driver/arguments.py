"""The arguments of a call as text, and fresh arguments from the text.

Invariant: what was encoded is not changed by it: no generator is advanced, no iterator consumed. Reading a text may
import modules and unpickle, so a text is only ever read inside a sandbox, and only one that was recorded in one.
"""

from __future__ import annotations

import ast
import base64
import builtins
import collections
import copy
import functools
import importlib
import json
import os
import pickle
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .values import Encoder, among, bases_of, dumps, is_iterator

NODES = 400
MAX_CHARS = 6000
PICKLE_BYTES = 3000
_EMPTY: tuple[Any, ...] = ([], (), "", "é", range(0), b"", bytearray())
_COPYABLE = tuple(type(iter(empty)) for empty in _EMPTY)
_NAMED = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType)
_READ: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "slice": lambda items: slice(*items),
    "range": lambda items: range(*items),
    "iterator": iter,
}
_READ_PAIRS = {"dict": dict, "OrderedDict": collections.OrderedDict, "Counter": collections.Counter}


class ArgumentError(ValueError):
    """A value cannot be told as text, or a text cannot be read; such a call is left out."""


class Arguments(Encoder):
    """The data of arguments: order kept, objects by pickle, functions by name or source."""

    sort = False

    def __init__(self) -> None:
        super().__init__(NODES)

    def beyond(self) -> Any:
        """No half of an argument."""
        raise ArgumentError("too large")

    def other(self, kind: type, value: Any) -> Any:
        """What is no builtin data."""
        if among(kind, _COPYABLE):
            return ["iterator", self.items(copy.copy(value))]
        if is_iterator(kind):
            raise ArgumentError("an iterator that cannot be looked into")
        if kind is types.ModuleType:
            return ["module", value.__name__]
        if type in bases_of(kind) or kind in (
            types.FunctionType,
            types.BuiltinFunctionType,
            types.MethodDescriptorType,
        ):
            return _named(value) or self._written(value)
        try:
            data = pickle.dumps(value, 4)
        except Exception:
            raise ArgumentError("cannot be pickled") from None
        if len(data) > PICKLE_BYTES:
            raise ArgumentError("too large")
        return ["pickle", base64.b64encode(data).decode()]

    def _written(self, value: Any) -> list[Any]:
        """A lambda or an inner function by its source, its variables and the module whose names it uses."""
        if type(value) is not types.FunctionType or value.__defaults__ or value.__kwdefaults__:
            raise ArgumentError("a function without a name")
        node = _definition(value.__code__)
        used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        inner = [[name, self.data(cell.cell_contents)] for name, cell in cells]
        needs = used & value.__globals__.keys() - vars(builtins).keys()
        module = value.__globals__["__name__"] if needs else ""
        return ["source", ast.unparse(node), module, path_of(module), inner]


def encode_call(module: str, positional: Sequence[Any], keyword: Mapping[str, Any]) -> str:
    """The text of a call's arguments; `module` is the name under which the function's module was imported.

    Raises `ArgumentError`.
    """
    encoder = Arguments()
    try:
        args = encoder.items(positional)
        text = dumps({"module": module, "args": args, "kwargs": {k: encoder.data(v) for k, v in keyword.items()}})
    except ArgumentError:
        raise
    except Exception as error:  # of the repository's own classes
        raise ArgumentError(f"{type(error).__name__} while looking at an argument") from None
    if len(text) > MAX_CHARS:
        raise ArgumentError("too large")
    return text


def decode_call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Module, positional and keyword arguments, all fresh. Raises `ArgumentError`."""
    try:
        call = json.loads(text)
        keyword = {name: _read(value) for name, value in call["kwargs"].items()}
        return call["module"], [_read(value) for value in call["args"]], keyword
    except Exception as error:
        raise ArgumentError(f"{type(error).__name__}: {error}") from None


def _read(data: Any) -> Any:
    if not isinstance(data, list):
        return data
    tag, *rest = data
    if tag in _READ:
        return _READ[tag]([_read(item) for item in rest[0]])
    if tag in _READ_PAIRS:
        return _READ_PAIRS[tag]([(_read(key), _read(value)) for key, value in rest[0]])
    return _OTHERS[tag](*rest)


def _read_source(text: str, module: str, path: str, inner: list[list[Any]]) -> Any:
    names = dict(vars(load(module, path))) if module else {}
    names.update((name, _read(value)) for name, value in inner)
    if text.startswith("lambda"):
        return eval(text, names)
    exec(text, names)
    return names[ast.parse(text).body[0].name]  # type: ignore[attr-defined]


def _read_date(text: str) -> Any:
    return eval(text, {"datetime": importlib.import_module("datetime")})


def _maker(module: str, name: str) -> Callable[[str], Any]:
    """A class that takes its own text, imported when it is needed."""

    def make(text: str) -> Any:
        return getattr(importlib.import_module(module), name)(text)

    return make


_OTHERS: dict[str, Callable[..., Any]] = {
    "int": lambda text: int(text, 16),
    "float": float,
    "complex": lambda real, imag: complex(float(real), float(imag)),
    "bytes": lambda text: text.encode("latin-1"),
    "bytearray": lambda text: bytearray(text, "latin-1"),
    "constant": lambda text: {"Ellipsis": ..., "NotImplemented": NotImplemented}[text],
    "deque": lambda items, length: collections.deque(map(_read, items), length),
    "defaultdict": lambda pairs, made: collections.defaultdict(_read(made), [(_read(k), _read(v)) for k, v in pairs]),
    "decimal.Decimal": _maker("decimal", "Decimal"),
    "fractions.Fraction": _maker("fractions", "Fraction"),
    "uuid.UUID": _maker("uuid", "UUID"),
    "pathlib.PosixPath": _maker("pathlib", "PosixPath"),
    "module": importlib.import_module,
    "named": lambda module, name, path: lookup(load(module, path), name),
    "source": _read_source,
    "pickle": lambda text: pickle.loads(base64.b64decode(text)),
    **{f"datetime.{name}": _read_date for name in ("date", "time", "datetime", "timedelta", "timezone")},
}


def load(module: str, path: str) -> types.ModuleType:
    """A module by its name; where that is not found, from the folder that makes `path` (in the tree) bear the name."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        if not path:
            raise
        parts = path.removesuffix("/__init__.py").removesuffix(".py").split("/")
        sys.path.append(os.path.abspath("/".join(parts[: -len(module.split("."))])))
        found = importlib.import_module(module)
    if path and os.path.realpath(found.__file__ or "") != os.path.realpath(path):
        raise ImportError(f"{module} is not {path}")
    return found


def path_of(module: str) -> str:
    """A loaded module's file relative to the tree; empty for one from elsewhere."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    inside = os.path.relpath(file) if file else ".."
    return "" if inside.startswith("..") or not inside.endswith(".py") else inside


def lookup(module: types.ModuleType, qualname: str) -> Any:
    """An attribute of an attribute ... of a module. Raises `AttributeError`."""
    return functools.reduce(getattr, qualname.split("."), module)


def _named(value: Any) -> list[str] | None:
    """A class or function by module and name, if it is what is found there."""
    owner = getattr(value, "__objclass__", value)
    module, name = getattr(owner, "__module__", None), getattr(value, "__qualname__", "")
    try:
        if module and lookup(sys.modules[module], name) is value:
            return ["named", module, name, path_of(module)]
    except (AttributeError, KeyError):
        pass
    return None


@functools.lru_cache(maxsize=8)
def _definitions(file: str) -> dict[int, list[ast.AST]]:
    """Line -> the lambdas and functions that begin on it."""
    found: dict[int, list[ast.AST]] = {}
    with open(file, encoding="utf-8") as source:
        for node in ast.walk(ast.parse(source.read())):
            if isinstance(node, (ast.Lambda, ast.FunctionDef)) and not getattr(node, "decorator_list", ()):
                found.setdefault(node.lineno, []).append(node)
    return found


def _definition(code: types.CodeType) -> ast.AST:
    """The one definition that a code object comes from."""
    wanted = ast.Lambda if code.co_name == "<lambda>" else ast.FunctionDef
    try:
        nodes = [n for n in _definitions(code.co_filename).get(code.co_firstlineno, []) if isinstance(n, wanted)]
    except (OSError, SyntaxError, ValueError):
        nodes = []
    if len(nodes) != 1:
        raise ArgumentError("a function whose source is not found")
    return nodes[0]
