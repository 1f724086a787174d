"""Which files are sources, which are tests, and from which folders they are imported.

Invariant: a file is a source or a test or neither, never both; names and contents decide, nothing is run.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from envs.repos.pytest_config import PytestConfig

Modules = Mapping[str, ast.Module]
"""Path -> what it holds; files that cannot be parsed are not there."""

_TEST_FOLDER = re.compile(r"(?:unit|integration|functional)?_?-?tests?|testing|tests?_.+|.+_tests?")
_TESTS_IF_ANY = {"t", "spec", "specs", "checks"}
_OTHER_FOLDERS = {"doc", "docs", "example", "examples", "benchmark", "benchmarks", "scripts", "tools", "build"}
_OTHER_FILES = {"setup.py", "conftest.py", "noxfile.py", "fabfile.py", "tasks.py"}


def parse_all(tree: Path) -> dict[str, ast.Module]:
    """Every Python file of a tree that can be parsed."""
    files = sorted(p.relative_to(tree).as_posix() for p in tree.rglob("*.py") if p.is_file())
    parsed = {path: parse(tree / path) for path in files}
    return {path: module for path, module in parsed.items() if module is not None}


def unparsed(tree: Path, modules: Mapping[str, ast.Module]) -> list[str]:
    """The Python files that are no Python of ours, each with what is wrong."""
    found = []
    for path in sorted(p.relative_to(tree).as_posix() for p in tree.rglob("*.py") if p.is_file()):
        if path not in modules:
            try:
                compile((tree / path).read_bytes(), path, "exec", ast.PyCF_ONLY_AST)
            except SyntaxError as error:
                found.append(f"{path} cannot be parsed (line {error.lineno or 1}: {error.msg})")
            except (ValueError, RecursionError) as error:
                found.append(f"{path} cannot be parsed ({error})")
    return found


def parse(path: Path) -> ast.Module | None:
    """What a file holds; None where that cannot be parsed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            return None


def is_test(path: str, module: ast.Module, config: PytestConfig) -> bool:
    """By its folder, or by its name and something in it that is a test."""
    *folders, name = PurePosixPath(path).parts
    if any(_TEST_FOLDER.fullmatch(folder) for folder in folders):
        return True
    if any(path.startswith(f"{PurePosixPath(place)}/") for place in config.testpaths if "*" not in place):
        return not _is_package_with_tests_inside(config.testpaths, path) or config.is_file(name)
    if config.is_file(name) or not _TESTS_IF_ANY.isdisjoint(folders):
        return has_tests(module, config)
    return name in {"test.py", "tests.py"} and any(_is_case(node) for node in module.body)


def _is_package_with_tests_inside(testpaths: Iterable[str], path: str) -> bool:
    """`testpaths = src`: the sources are searched for tests, they are no tests."""
    tops = {PurePosixPath(place).parts[0] for place in testpaths if PurePosixPath(place).parts}
    return PurePosixPath(path).parts[0] in tops and not any(map(_TEST_FOLDER.fullmatch, tops))


def is_source(path: str) -> bool:
    """A file that is no test may hold bugs, unless it only builds, documents or measures."""
    first, *_, name = ("", *PurePosixPath(path).parts) if "/" not in path else PurePosixPath(path).parts
    return name not in _OTHER_FILES and first not in _OTHER_FOLDERS


def has_tests(module: ast.Module, config: PytestConfig) -> bool:
    """Whether the file itself defines a test."""
    return any(
        _is_case(node)
        or is_test_function(node, config)
        or (isinstance(node, ast.ClassDef) and any(is_test_function(child, config) for child in node.body))
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    )


def is_test_function(node: ast.AST, config: PytestConfig) -> bool:
    """A function by whose name a runner takes it for a test."""
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and config.is_function(node.name)


def _is_case(node: ast.AST) -> bool:
    return isinstance(node, ast.ClassDef) and any("TestCase" in ast.unparse(base) for base in node.bases)


def import_roots(modules: Modules, tests: Iterable[str]) -> tuple[str, ...]:
    """Folders beside the top one (`src`, `lib`, `packages/a`) from which what the tests import is imported."""
    tests = list(tests)
    places = _places(modules)
    near = {str(PurePosixPath(path).parent) for path in tests}
    roots: dict[str, None] = {}
    for name in sorted({name for path in tests for name in _imported(modules[path])}):
        found = places.get(name) or places.get(name.split(".")[0], set())
        least = min((root.count("/") + bool(root) for root in found), default=0)
        nearest = {root for root in found if root.count("/") + bool(root) == least}
        if "" not in nearest and not nearest & near:  # what lies beside a test is found by the runner
            roots.update(dict.fromkeys(sorted(nearest)))
    return tuple(root for root in roots if root)


def _places(modules: Modules) -> dict[str, set[str]]:
    """Dotted name of one or two parts -> folders that it can be imported from; no folder that is itself a package."""
    packages = {str(PurePosixPath(p).parent) for p in modules if p.endswith("__init__.py")}
    places: dict[str, set[str]] = {}
    for path in modules:
        parts = PurePosixPath(path).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        for start in range(len(parts)):
            root = "/".join(parts[:start])
            if root not in packages:
                for end in (start + 1, start + 2):
                    if end <= len(parts):
                        places.setdefault(".".join(parts[start:end]), set()).add(root)
    return places


def _imported(module: ast.Module) -> set[str]:
    """The first two parts of what it imports, without the standard library and relative imports."""
    names: list[str] = []
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return {".".join(n.split(".")[:2]) for n in names if n.split(".")[0] not in sys.stdlib_module_names}
