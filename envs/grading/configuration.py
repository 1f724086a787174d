"""Files that pytest obeys: which changes to them could change what a test run says.

Invariant: a file that cannot be read as what it should be counts as changed.
"""

from __future__ import annotations

import ast
import configparser
import tomllib
from typing import Any

_SYSTEM = {"sys", "os", "_pytest", "pluggy", "builtins", "ctypes", "gc", "importlib", "atexit", "signal", "unittest"}


def takes_hold_of_pytest(source: str) -> bool:
    """Whether a conftest does more than offer fixtures: hooks, plugins, or modules that reach into the runner."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return bool(source.strip())
    return any(map(_reaches, ast.walk(tree)))


def _reaches(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name.startswith("pytest_") or any("autouse" in ast.unparse(d) for d in node.decorator_list)
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in _SYSTEM for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] in _SYSTEM
    names = [node.id] if isinstance(node, ast.Name) else [node.attr] if isinstance(node, ast.Attribute) else []
    return any(name in ("pytest_plugins", "hookimpl", "exec", "eval", "__import__", "modules") for name in names)


def changes_how_tests_run(name: str, before: str, after: str) -> bool:
    """Whether two versions of a configuration file tell a test run different things."""
    read = _toml if name.endswith(".toml") else _ini
    try:
        return bool(read(name, before) != read(name, after))
    except (tomllib.TOMLDecodeError, configparser.Error):
        return True


def _toml(name: str, text: str) -> Any:
    data = tomllib.loads(text)
    if "pytest" in name:
        return data
    entries = {key: v for key, v in data.get("project", {}).get("entry-points", {}).items() if "pytest" in key}
    return data.get("tool", {}).get("pytest"), entries


def _ini(name: str, text: str) -> Any:
    config = configparser.ConfigParser(interpolation=None, strict=False)
    config.read_string(text)
    told = {section: dict(config[section]) for section in config.sections() if "pytest" in section}
    entries = config.get("options.entry_points", "pytest11", fallback="")
    return told if "pytest" not in name else {s: dict(config[s]) for s in config.sections()}, entries
