"""Fresh arguments from the text of a call; the other side of `arguments`.

Invariant: every reading makes new objects. It may import modules and unpickle, so a text is only ever read inside a
sandbox, and only one that was recorded in one.
"""

from __future__ import annotations

import ast
import base64
import builtins
import collections
import importlib
import json
import pickle
from collections.abc import Callable
from typing import Any

from .arguments import ArgumentError
from .histories import remade
from .modules import find, load, lookup

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


def decode_call(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Module, positional and keyword arguments, all fresh. Raises `ArgumentError`."""
    try:
        call = json.loads(text)
        return call["module"], *_read_arguments(call["args"], call["kwargs"])
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
    if not text.startswith("def "):
        return eval(text, names)
    exec(text, names)
    return names[ast.parse(text).body[0].name]  # type: ignore[attr-defined]


def _read_pickle(text: str, own: list[list[str]]) -> Any:
    for module, path in own:
        load(module, path)
    return pickle.loads(base64.b64decode(text))


def _read_date(text: str) -> Any:
    return eval(text, {"datetime": importlib.import_module("datetime")})


def _maker(module: str, name: str) -> Callable[[str], Any]:
    """A class that takes its own text, imported when it is needed."""

    def make(text: str) -> Any:
        return getattr(importlib.import_module(module), name)(text)

    return make


def _read_made(maker: list[Any], history: list[Any]) -> Any:
    if not history:
        return remade(_read(maker), [])
    args, kwargs, steps = history
    read = [[step, *_read_arguments(*arguments)] for step, *arguments in steps]
    return remade(_read(maker), [*_read_arguments(args, kwargs), read])


def _read_arguments(args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    return [_read(value) for value in args], {name: _read(value) for name, value in kwargs.items()}


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
    "function": find,
    "source": _read_source,
    "bound": lambda owner, name: getattr(_read(owner), name),
    "lazy": lambda name, inner: getattr(builtins, name)(*map(_read, inner)),
    "made": _read_made,
    "pickle": _read_pickle,
    **{f"datetime.{name}": _read_date for name in ("date", "time", "datetime", "timedelta", "timezone")},
}
