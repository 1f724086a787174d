"""What must be installed before the tests run.

Invariant: what the repository itself needs comes first and must be there; what only the tests need may fail to install,
and then it is told. The repository is never among them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from envs.repos.declared import Declared
from envs.repos.imported import known_names, needs_of
from envs.repos.layout import Modules
from envs.repos.pytest_config import PytestConfig, read_ini
from envs.repos.requirement_files import dev_files, name_of, read_requirements, test_files
from envs.repos.source import RepoError

_TEST_LISTS = ("test", "tests", "testing", "unittest", "unit-test", "unit-tests", "pytest")
_DEV_LISTS = ("dev", "develop", "development", "devel", "ci", "all")


@dataclass(frozen=True)
class Needs:
    """Requirement lines for pip: those that must be there, and those that only tests ask for."""

    required: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Each once, a name's first line only: two lines of one name would contradict each other too often."""
        lines: dict[tuple[str, str], str] = {}
        for line in (*self.required, *self.wanted):
            lines.setdefault((name_of(line), line.partition(";")[2].strip()), line)
        return tuple(lines.values())


def user_needs(words: str, known: Declared, tree: Path) -> Needs:
    """The user's own words: requirements, `.`, `.[extra,group]` (not the repository itself), `-r FILE`.

    Raises `RepoError`.
    """
    found: list[str] = []
    parts = words.removeprefix("pip install ").split()
    for before, word in zip(["", *parts], parts, strict=False):
        own = re.fullmatch(r"\.(?:\[(.*)\])?", word)
        if own:
            names = [canonicalize_name(name.strip()) for name in (own[1] or "").split(",") if name.strip()]
            unknown = [name for name in names if name not in known.extras and name not in known.groups]
            if unknown:
                there = ", ".join(sorted({*known.extras, *known.groups})) or "none"
                raise RepoError(
                    f"the repository has no extra or group {unknown[0]!r} (there are: {there}): option install"
                )
            found += [*known.dependencies, *known.of(names)]
        elif before in {"-r", "--requirement"}:
            if not (tree / word).is_file():
                raise RepoError(f"the repository has no requirement file {word!r} (option install)")
            found += [line for line in read_requirements(tree / word, tree) if not line.startswith(".")]
        elif not word.startswith("-"):
            found.append(word)
        elif word not in {"-r", "--requirement", "-e", "--editable"}:
            raise RepoError(f"{word!r} means nothing here: give requirements, '.[extra]' or '-r FILE' (option install)")
    return Needs(required=tuple(dict.fromkeys(found)))


def found_needs(tree: Path, known: Declared, modules: Modules, tests: Iterable[str], config: PytestConfig) -> Needs:
    """What the files say, the nearest to the tests first."""
    lists = known.of(_TEST_LISTS)
    for path in test_files(tree):
        lists += _own(read_requirements(path, tree), known)
    far = [*known.of(_DEV_LISTS)] if not lists else []
    for path in dev_files(tree) if not lists else []:
        far += _own(read_requirements(path, tree), known)
    far += [*_from_tox(tree, known), *_from_nox(tree)] if not lists else []
    undeclared = [*needs_of(modules, tests), *config.plugins]
    everywhere = known_names([*known.of([*known.extras, *known.groups]), *far])
    have = {name_of(line) for line in (*known.dependencies, *lists)}
    lists += [everywhere.get(name_of(line), line) for line in undeclared if name_of(line) not in have]
    lists += [line for line in far if name_of(line).startswith("pytest-") and not _disturbs(line)]
    own = canonicalize_name(known.name or ".")
    return Needs(known.dependencies, tuple(line for line in dict.fromkeys(lists) if name_of(line) != own))


def _disturbs(line: str) -> bool:
    return name_of(line) in {"pytest-cov", "pytest-xdist", "pytest-sugar", "pytest-randomly", "pytest-html"}


def _own(lines: Iterable[str], known: Declared) -> list[str]:
    """`.` and `.[x]` in a requirement file are the repository's own; addresses are left out."""
    found: list[str] = []
    for line in lines:
        own = re.fullmatch(r"\.(?:\[(.*)\])?", line)
        found += known.of((own[1] or "").split(",")) if own else [line] if name_of(line) and "://" not in line else []
    return found


def _from_tox(tree: Path, known: Declared) -> list[str]:
    """Dependencies of tox's plain environment."""
    config = read_ini(tree / "tox.ini")
    lines = config.get("testenv", "deps", fallback="").splitlines()
    texts = [re.sub(r"^[\w,{}!.-]+:\s+", "", line.split(" #")[0].strip()) for line in lines]
    found = [text for text in texts if name_of(text) and "{" not in text]
    for text in texts:
        named = re.match(r"-r\s*(?:\{toxinidir\}/)?(\S+)", text)
        found += _own(read_requirements(tree / named[1], tree), known) if named else []
    return found + known.of(re.split(r"[\s,]+", config.get("testenv", "extras", fallback="").strip()))


def _from_nox(tree: Path) -> list[str]:
    """Literal arguments of `session.install(...)`."""
    try:
        module = ast.parse((tree / "noxfile.py").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    calls = [n for n in ast.walk(module) if isinstance(n, ast.Call) and ast.unparse(n.func).endswith(".install")]
    words = [a.value for c in calls for a in c.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return [word for word in words if name_of(word) and "/" not in word]
