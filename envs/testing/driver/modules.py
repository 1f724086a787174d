"""Modules of the repository and what is found in them by name.

Invariant: a thing that is told by its name is the very thing that the name leads to, in the file that is meant.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
import types
from typing import Any


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


def named(value: Any) -> list[str] | None:
    """A class or function by module and name, if it is what is found there."""
    owner = getattr(value, "__objclass__", value)
    module, name = getattr(owner, "__module__", None), getattr(value, "__qualname__", "")
    try:
        if module and lookup(sys.modules[module], name) is value:
            return ["named", module, name, path_of(module)]
    except (AttributeError, KeyError):
        pass
    return None


def find(function: str, module: str) -> Any:
    """What `path::qualname` stands for. Raises `ImportError`, `AttributeError`."""
    path, _, qualname = function.partition("::")
    return function_of(load(module, path), qualname)


def function_of(module: types.ModuleType, qualname: str) -> Any:
    """A function or method that takes all that its definition names, `self` and `cls` too."""
    owner, _, name = qualname.rpartition(".")
    if not owner:
        return lookup(module, name)
    found = vars(lookup(module, owner))[name]
    if isinstance(found, property):
        return found.fget
    if isinstance(found, functools.cached_property):
        return found.func
    return found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
