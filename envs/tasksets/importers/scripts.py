"""Evaluation scripts for rows that bring none: SWE-bench 5 moved them into the rows, older rows lean on a table.

Invariant: a script puts the tests of `test_patch` in place, runs just their files between SWE-bench's markers, and
puts the old ones back. It needs no network: the package is installed from what the image holds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from envs.tasksets.harness import END, START

PYTEST = "pytest -rA"
_DATA = (".json", ".png", ".csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml")
_HEREDOC = "EOF_114329324912"
_READY = ["source /opt/miniconda3/bin/activate", "conda activate testbed", "cd /testbed"]
_SAFE = "git config --global --add safe.directory /testbed"


@dataclass(frozen=True)
class Runner:
    """How the tests of a repository run."""

    command: str = PYTEST
    log_parser: str = "parse_log_pytest"
    install: str = "-e ."
    """What pip is given: most are installed in place. Empty: nothing is installed."""
    modules: bool = False
    """Tests are told as modules below `tests`, not as files."""
    environment: tuple[str, ...] = ()


RUNNERS = {
    "astropy/astropy": Runner(log_parser="parse_log_astropy"),
    "django/django": Runner(
        "./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1",
        "parse_log_django",
        modules=True,
        environment=("export LANG=C.UTF-8", "export LC_ALL=C.UTF-8"),
    ),
    "matplotlib/matplotlib": Runner(log_parser="parse_log_matplotlib"),
    "mwaskom/seaborn": Runner("pytest --no-header -rA", "parse_log_seaborn", "-e .[dev]"),
    "pallets/flask": Runner(log_parser="parse_log_flask"),
    "psf/requests": Runner(log_parser="parse_log_requests", install="."),
    "pydata/xarray": Runner(log_parser="parse_log_xarray"),
    "pylint-dev/pylint": Runner(log_parser="parse_log_pylint"),
    "pytest-dev/pytest": Runner(),
    "scikit-learn/scikit-learn": Runner(log_parser="parse_log_scikit"),
    "sphinx-doc/sphinx": Runner("tox --current-env -epy39 -v --", "parse_log_sphinx", "-e .[test]"),
    "sympy/sympy": Runner(
        "PYTHONWARNINGS='ignore::UserWarning,ignore::SyntaxWarning' bin/test -C --verbose", "parse_log_sympy"
    ),
}
"""SWE-bench's twelve repositories. The parsers are swebench's own."""


def script(runner: Runner, base_commit: str, test_patch: str, files: Sequence[str] = ()) -> str:
    """The evaluation script of a task. `files`: what to run, those of `test_patch` unless given."""
    targets = list(files) or _targets(runner, test_patch)
    old = _old_files(test_patch)
    restore = [f"git checkout {base_commit} {shlex.join(old)}"] if old and base_commit else []
    # Build isolation and dependencies would be fetched; the image has both.
    install = [f"python -m pip install --no-deps --no-build-isolation {runner.install}"] if runner.install else []
    lines = ["#!/bin/bash", "set -uxo pipefail", *_READY, *runner.environment, _SAFE, *install, *restore]
    if test_patch.strip():
        lines += [f"git apply -v - <<'{_HEREDOC}'", test_patch.removesuffix("\n"), _HEREDOC]
    lines += [f": '{START}'", f"{runner.command} {shlex.join(targets)}", f": '{END}'", *restore]
    return "\n".join(lines) + "\n"


def _targets(runner: Runner, test_patch: str) -> list[str]:
    """The files that a patch of tests leaves behind, without their data."""
    files = [path for path, state in _files(test_patch) if state != "gone" and not path.endswith(_DATA)]
    if not runner.modules:
        return files
    return [path.removesuffix(".py").removeprefix("tests/").replace("/", ".") for path in files]


def _old_files(test_patch: str) -> list[str]:
    return [path for path, state in _files(test_patch) if state != "new"]


def _files(test_patch: str) -> list[tuple[str, str]]:
    """(path, `new` | `gone` | `old`) of each file of a patch."""
    found: list[tuple[str, str]] = []
    for part in re.split(r"^diff --git ", test_patch, flags=re.MULTILINE)[1:]:
        match = re.match(r'"?a/.+? "?b/(.+?)"?$', part.split("\n", 1)[0])
        head = part.partition("\n@@ ")[0]
        state = "new" if "\nnew file mode" in head else "gone" if "\ndeleted file mode" in head else "old"
        if match:
            found.append((match[1], state))
    return found


def files_of(tests: Sequence[str]) -> list[str]:
    """The files that pytest ids lie in."""
    return list(dict.fromkeys(test.partition("::")[0] for test in tests if "::" in test))
