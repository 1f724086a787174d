"""What a repository tells pytest: which files, classes and functions are tests, and what its options need.

Invariant: the file that pytest itself would take is read, and nothing is run.
"""

from __future__ import annotations

import configparser
import re
import shlex
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from envs.repos.source import RepoError

_FILES = (
    ("pytest.ini", "pytest"),
    (".pytest.ini", "pytest"),
    ("pyproject.toml", "tool.pytest.ini_options"),
    ("tox.ini", "pytest"),
    ("setup.cfg", "tool:pytest"),
)
_KEPT = ("--import-mode=", "--ignore=", "--ignore-glob=", "--deselect=", "-m=")


@dataclass(frozen=True)
class PytestConfig:
    """The options that matter here, with pytest's defaults. `found`: the repository has a section for pytest."""

    found: bool = False
    python_files: tuple[str, ...] = ("test_*.py", "*_test.py")
    python_functions: tuple[str, ...] = ("test",)
    testpaths: tuple[str, ...] = ()
    addopts: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    """Requirements of the plugins that the options speak of."""

    def is_file(self, name: str) -> bool:
        """Whether a file of this name holds tests, as pytest sees it."""
        return any(fnmatch(name, pattern) for pattern in self.python_files)

    def is_function(self, name: str) -> bool:
        """Whether a function or method of this name is a test."""
        return any(name.startswith(p) or ("*" in p and fnmatch(name, p)) for p in self.python_functions)

    @property
    def kept_options(self) -> tuple[str, ...]:
        """Of `addopts`, what decides which tests run and how they are imported.

        The rest (coverage, workers, reports) only disturbs. Without `-m 'not stress'` tests would run that take hours.
        """
        kept: list[str] = []
        for word, following in zip(self.addopts, (*self.addopts[1:], ""), strict=False):
            if word.startswith(_KEPT):
                kept.append(word)
            elif word in {"-m", "--deselect", "--ignore"} or (word == "-p" and not following.startswith("no:")):
                kept += [word, following]
        return tuple(kept)


def pytest_config(tree: Path) -> PytestConfig:
    """Read it. Raises `RepoError` where a file cannot be read."""
    for name, section in _FILES:
        options = _section(tree / name, section)
        if options is not None:
            return PytestConfig(
                found=True,
                python_files=_words(options.get("python_files")) or PytestConfig.python_files,
                python_functions=_words(options.get("python_functions")) or PytestConfig.python_functions,
                testpaths=_words(options.get("testpaths")),
                addopts=_words(options.get("addopts")),
                plugins=_plugins(options),
            )
    return PytestConfig()


def _section(path: Path, section: str) -> dict[str, Any] | None:
    if path.suffix == ".toml":
        found: Any = read_toml(path)
        for part in section.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else None
    config = read_ini(path)
    return dict(config[section]) if config.has_section(section) else None


def read_toml(path: Path) -> dict[str, Any]:
    """Empty where there is none. Raises `RepoError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RepoError(f"{path.name} cannot be read: {error}") from None


def read_ini(path: Path) -> configparser.ConfigParser:
    """Empty where there is none. Raises `RepoError`."""
    config = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        config.read_string(path.read_text(encoding="utf-8") if path.is_file() else "")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise RepoError(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from None
    return config


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(map(str, value))
    lines = [re.sub(r"(^|\s)#.*", "", line) for line in str(value or "").splitlines()]
    try:
        return tuple(shlex.split(" ".join(lines)))
    except ValueError:
        return tuple(" ".join(lines).split())


def _plugins(options: dict[str, Any]) -> tuple[str, ...]:
    by_option = {"asyncio_mode": "pytest-asyncio", "timeout": "pytest-timeout", "env": "pytest-env"}
    by_option["django_settings_module"] = "pytest-django"
    found = [plugin for option, plugin in by_option.items() if option in {name.lower() for name in options}]
    return tuple(dict.fromkeys([*_words(options.get("required_plugins")), *found]))
