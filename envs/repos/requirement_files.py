"""Requirement files, with the files that they name.

Invariant: only files inside the tree are read, each once, so that files that name each other come to an end.
"""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_TEST = re.compile(
    r"(?:requirements[-_.]?)?tests?(?:ing)?[-_.]?(?:requirements)?\.(?:txt|in)|tests?[-_]requirements\.txt"
)
_DEV = re.compile(r"(?:requirements[-_.]?)?dev(?:el|elop|elopment)?[-_.]?(?:requirements)?\.(?:txt|in)")
_FOLDERS = ("", "requirements", "tests", "test", "requirements/", "reqs", "deps")


def test_files(tree: Path) -> list[Path]:
    """Requirement files for tests."""
    return _matching(tree, _TEST) + [p for f in ("tests", "test") if (p := tree / f / "requirements.txt").is_file()]


def dev_files(tree: Path) -> list[Path]:
    """Requirement files for who works on the repository: they hold what tests need, and much else."""
    return _matching(tree, _DEV)


test_files.__test__ = False  # type: ignore[attr-defined]


def _matching(tree: Path, pattern: re.Pattern[str]) -> list[Path]:
    folders = [tree / folder for folder in dict.fromkeys(name.strip("/") for name in _FOLDERS)]
    found = [p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()) if pattern.fullmatch(p.name)]
    texts = {path.stem for path in found if path.suffix == ".txt"}  # x.in is what x.txt was made from
    return [path for path in found if path.is_file() and (path.suffix == ".txt" or path.stem not in texts)]


def read_requirements(path: Path, tree: Path) -> list[str]:
    """Its lines and those of the files it names with -r; what -c pins is pinned. `.`, `.[x]` stay as they are."""
    limits: dict[str, str] = {}
    found = _read(path, tree.resolve(), limits, set())
    return [_pinned(line, limits) for line in dict.fromkeys(found)]


def _read(path: Path, tree: Path, limits: dict[str, str], seen: set[Path]) -> list[str]:
    path = path.resolve()
    if path in seen or not path.is_file() or not path.is_relative_to(tree):
        return []
    seen.add(path)
    found: list[str] = []
    for line in path.read_text(encoding="utf-8-sig", errors="replace").replace("\\\n", " ").splitlines():
        text = re.sub(r"(^|\s)#.*", "", line).strip()
        text = re.sub(r"\s--(?:hash|config-settings|global-option)[= ]\S+", "", text).strip()
        option = re.match(r"(-r|--requirement|-c|--constraint|-e|--editable)[\s=]*(.+)", text)
        if option is None:
            found += [text] if text and not text.startswith("-") else []
        elif option[1] in {"-r", "--requirement"}:
            found += _read(path.parent / option[2].strip(), tree, limits, seen)
        elif option[1] in {"-c", "--constraint"}:
            for pin in _read(path.parent / option[2].strip(), tree, limits, seen):
                limits.setdefault(name_of(pin), pin)
        elif re.fullmatch(r"(?:file:)?\.(?:\[.*\])?", option[2].strip()):
            found.append(option[2].strip().removeprefix("file:"))
    return found


def _pinned(line: str, limits: dict[str, str]) -> str:
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return line
    return line if requirement.specifier or requirement.url else limits.get(canonicalize_name(requirement.name), line)


def name_of(line: str) -> str:
    """The normalised name that a requirement line asks for; empty where it names none."""
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
    return canonicalize_name(match[0]) if match else ""
