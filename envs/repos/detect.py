"""What a repository holds: sources, tests, how its tests run, what they need.

Invariant: reads files only; nothing of the repository is imported or run.
"""

from __future__ import annotations

import ast
import configparser
import email
import re
import tomllib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from envs.repos.source import RepoError
from envs.task import LogParser

_TEST_FOLDERS = {"test", "tests", "testing"}
_OTHER_FOLDERS = {"doc", "docs", "example", "examples", "benchmark", "benchmarks", "scripts", "tools", "build"}
_OTHER_FILES = {"setup.py", "conftest.py", "noxfile.py", "fabfile.py", "tasks.py"}
_TEST_EXTRAS = ("test", "tests", "testing")
_REQUIREMENT_FILES = ("requirements-test.txt", "requirements-tests.txt", "test-requirements.txt")
_EXTRA = re.compile(r"""\s*(?:;|\band\b)\s*\(?\s*extra\s*==\s*['"]([^'"]+)['"]\s*\)?""")


@dataclass(frozen=True)
class Layout:
    """What was found. Paths are relative to the tree, with forward slashes."""

    source_files: tuple[str, ...]
    test_files: tuple[str, ...]
    runner: LogParser
    test_cmd: str
    """With `{tests}` for what to run."""
    requirements: tuple[str, ...]
    """What pip must install before the tests run, without pytest itself."""


def detect(tree: Path, *, install: str | None = None, test: str | None = None) -> Layout:
    """Look at a tree. `install` and `test` are the user's words where detection fails. Raises `RepoError`."""
    files = sorted(p.relative_to(tree).as_posix() for p in tree.rglob("*.py") if p.is_file())
    trees = {path: _parse(tree / path) for path in files}
    tests = tuple(path for path in files if _is_test(path) and trees[path] is not None)
    sources = tuple(path for path in files if _is_source(path) and trees[path] is not None)
    if not any(_has_tests(trees[path]) for path in tests):
        raise RepoError(
            "no tests were found (files named test_*.py or *_test.py): many packages leave them out of their source "
            "distribution, so give the git address of the repository instead"
        )
    if not sources:
        raise RepoError("no Python sources were found beside the tests")
    runner = _runner(test, [trees[path] for path in tests])
    return Layout(sources, tests, runner, _test_cmd(tree, runner, test), requirements_of(tree, install))


def _parse(path: Path) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            return None


def _is_test(path: str) -> bool:
    parts = PurePosixPath(path).parts
    inside = not _TEST_FOLDERS.isdisjoint(parts[:-1])
    name = PurePosixPath(path).stem
    return name.startswith("test_") or name.endswith("_test") or inside or name in {"test", "tests"}


def _is_source(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return not _is_test(path) and parts[-1] not in _OTHER_FILES and _OTHER_FOLDERS.isdisjoint(parts[:-1])


def _has_tests(module: ast.Module | None) -> bool:
    return module is not None and any(_is_case(node) or _is_test_function(node) for node in module.body)


def _is_test_function(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def _is_case(node: ast.stmt) -> bool:
    methods = isinstance(node, ast.ClassDef) and any(_is_test_function(child) for child in node.body)
    return methods or (isinstance(node, ast.ClassDef) and any("Test" in ast.unparse(base) for base in node.bases))


def _runner(test: str | None, modules: Iterable[ast.Module | None]) -> LogParser:
    """What the user's command names, else unittest if it sees every test, else pytest."""
    if test is not None:
        if "pytest" in test:
            return "pytest"
        if "unittest" in test:
            return "unittest"
        raise RepoError(f"the test command {test!r} runs neither pytest nor unittest: give one that does (option test)")
    for module in modules:
        for node in module.body if module is not None else ():
            plain_class = isinstance(node, ast.ClassDef) and node.name.startswith("Test") and not node.bases
            if _is_test_function(node) or (plain_class and _is_case(node)) or _imports_pytest(node):
                return "pytest"
    return "unittest"


def _imports_pytest(node: ast.stmt) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    return "pytest" in names or (isinstance(node, ast.ImportFrom) and node.module == "pytest")


def _test_cmd(tree: Path, runner: LogParser, test: str | None) -> str:
    if test is not None:
        return test if "{tests}" in test else f"{test} {{tests}}"
    src = (tree / "src").is_dir() and not (tree / "src" / "__init__.py").exists()
    path = "PYTHONPATH=src " if src else ""
    if runner == "unittest":
        return f"{path}python -m unittest -v {{tests}}"
    return f"{path}python -m pytest -v -rA -o addopts= -p no:cacheprovider {{tests}}"


def requirements_of(tree: Path, install: str | None) -> tuple[str, ...]:
    """What to install. In `install`, `.` and `.[extra]` mean what the repository itself needs, not the repository."""
    if install is None:
        return tuple(dict.fromkeys([*_declared(tree, _TEST_EXTRAS), *_from_files(tree)]))
    found: list[str] = []
    for word in install.split():
        extras = re.fullmatch(r"\.(?:\[(.*)\])?", word)
        found += _declared(tree, tuple((extras[1] or "").split(","))) if extras else [word]
    return tuple(dict.fromkeys(found))


def _declared(tree: Path, extras: tuple[str, ...]) -> list[str]:
    """Dependencies and those of some extras: from PKG-INFO, else pyproject.toml, else setup.cfg."""
    if (tree / "PKG-INFO").is_file():
        lines = email.message_from_string((tree / "PKG-INFO").read_text()).get_all("Requires-Dist") or []
        return [_EXTRA.sub("", line) for line in lines if not (m := _EXTRA.search(line)) or m[1] in extras]
    pyproject = _toml(tree / "pyproject.toml")
    project = pyproject.get("project", {})
    found = list(project.get("dependencies", []))
    groups = {**pyproject.get("dependency-groups", {}), **project.get("optional-dependencies", {})}
    found += [line for extra in extras for line in groups.get(extra, []) if isinstance(line, str)]
    return found + ([] if project else _from_setup_cfg(tree / "setup.cfg", extras))


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text()) if path.is_file() else {}
    except tomllib.TOMLDecodeError as error:
        raise RepoError(f"pyproject.toml cannot be read: {error}") from None


def _from_setup_cfg(path: Path, extras: tuple[str, ...]) -> list[str]:
    config = configparser.ConfigParser(interpolation=None)
    if path.is_file():
        try:
            config.read_string(path.read_text())
        except configparser.Error as error:
            raise RepoError(f"setup.cfg cannot be read: {str(error).splitlines()[0]}") from None
    values = [config.get("options", "install_requires", fallback="")]
    values += [config.get("options.extras_require", extra, fallback="") for extra in extras]
    return [line.strip() for value in values for line in value.splitlines() if line.strip()]


def _from_files(tree: Path) -> list[str]:
    """Lines of the requirement files for tests; options and nested files are left out."""
    lines = [line for name in _REQUIREMENT_FILES if (tree / name).is_file() for line in _lines(tree / name)]
    return [line for line in lines if line and not line.startswith("-")]


def _lines(path: Path) -> list[str]:
    return [line.partition(" #")[0].strip() for line in path.read_text().splitlines() if not line.startswith("#")]
