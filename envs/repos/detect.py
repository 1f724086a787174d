"""What a repository holds: sources, tests, how its tests run, what they need.

Invariant: reads files only; nothing of the repository is imported or run.
"""

from __future__ import annotations

import ast
import shlex
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from envs.repos.declared import Declared, declared
from envs.repos.layout import (
    Modules,
    has_tests,
    import_roots,
    is_source,
    is_test,
    is_test_function,
    parse_all,
    unparsed,
)
from envs.repos.needs import Needs, found_needs, user_needs
from envs.repos.pytest_config import PytestConfig, pytest_config
from envs.repos.requirement_files import name_of
from envs.repos.source import RepoError
from envs.task import LogParser


@dataclass(frozen=True)
class Layout:
    """What was found. Paths are relative to the tree, with forward slashes."""

    source_files: tuple[str, ...]
    test_files: tuple[str, ...]
    """All files that belong to the tests, helpers among them."""
    runner: LogParser
    test_cmd: str
    """With `{tests}` for what to run."""
    needs: Needs
    """What pip must install before the tests run, without pytest itself."""
    known: Declared = field(default_factory=Declared)

    @property
    def needs_of_run(self) -> Needs:
        """The needs, with the runner."""
        runner = ("pytest",) if self.runner == "pytest" and "pytest" not in map(name_of, self.needs.all) else ()
        return Needs((*self.needs.required, *runner), self.needs.wanted)


def detect(tree: Path, *, install: str | None = None, test: str | None = None, metadata: str = "") -> Layout:
    """Look at a tree. `install` and `test` are the user's words, `metadata` what its build said. Raises `RepoError`."""
    modules, config = parse_all(tree), pytest_config(tree)
    tests = tuple(path for path, module in modules.items() if is_test(path, module, config))
    sources = tuple(path for path in modules if path not in set(tests) and is_source(path))
    if not any(has_tests(modules[path], config) for path in tests):
        raise RepoError(
            f"no tests were found (files named {' or '.join(config.python_files)}, or in a folder named tests): many "
            "packages leave them out of their source distribution, so give the git address of the repository instead"
        )
    if not sources:
        broken = "".join(f"; {problem}" for problem in unparsed(tree, modules)[:3])
        raise RepoError(f"no Python sources were found beside the tests{broken}")
    known = declared(tree, metadata)
    roots = import_roots(modules, tests)
    runner = _runner(test, modules, tests, roots, config)
    needs = found_needs(tree, known, modules, tests, config) if install is None else user_needs(install, known, tree)
    return Layout(sources, tests, runner, _test_cmd(modules, runner, test, roots, config), needs, known)


def requirements_of(tree: Path, install: str | None) -> tuple[str, ...]:
    """What to install. In `install`, `.` and `.[extra]` mean what the repository itself needs, not the repository."""
    known = declared(tree)
    if install is not None:
        return user_needs(install, known, tree).all
    modules, config = parse_all(tree), pytest_config(tree)
    tests = [path for path, module in modules.items() if is_test(path, module, config)]
    return found_needs(tree, known, modules, tests, config).all


def _runner(
    test: str | None, modules: Modules, tests: tuple[str, ...], roots: tuple[str, ...], config: PytestConfig
) -> LogParser:
    """What the user's command names, else unittest if it sees every test by its name from the top, else pytest."""
    if test is not None:
        if "pytest" in test or "py.test" in test:
            return "pytest"
        if "unittest" in test:
            return "unittest"
        raise RepoError(f"the test command {test!r} runs neither pytest nor unittest: give one that does (option test)")
    if config.found or any(PurePosixPath(path).name == "conftest.py" for path in modules):
        return "pytest"
    for path in tests:
        named = all(part.isidentifier() for part in PurePosixPath(path).with_suffix("").parts)
        if not named or any(path.startswith(f"{root}/") for root in roots):
            return "pytest"
        for node in modules[path].body:
            plain_class = isinstance(node, ast.ClassDef) and node.name.startswith("Test") and not node.bases
            if is_test_function(node, config) or plain_class or _imports_pytest(node):
                return "pytest"
    return "unittest"


def _imports_pytest(node: ast.stmt) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    return "pytest" in names or (isinstance(node, ast.ImportFrom) and node.module == "pytest")


def _test_cmd(
    modules: Modules, runner: LogParser, test: str | None, roots: tuple[str, ...], config: PytestConfig
) -> str:
    if test is not None:
        return test if "{tests}" in test else f"{test} {{tests}}"
    path = f"PYTHONPATH={':'.join(roots)} " if roots else ""
    if runner == "unittest":
        return f"{path}python -m unittest -v {{tests}}"
    options = list(config.kept_options)
    if any(name.endswith("/setup.py") for name in modules):
        options.append("--rootdir=.")  # ids of tests are told from the top, also for a package further down
    kept = f"PYTEST_ADDOPTS={shlex.quote(shlex.join(options))} " if options else ""
    return f"{path}{kept}python -m pytest -v -rA -o addopts= -p no:cacheprovider {{tests}}"
