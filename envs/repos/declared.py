"""What a repository says of itself: name, version, build backend, Python, dependencies, extras and groups.

Invariant: the metadata that its own build made counts first, then PKG-INFO, pyproject.toml (standard, poetry, pdm,
hatch, uv), setup.cfg and the literals in setup.py; nothing is run.
"""

from __future__ import annotations

import ast
import email
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from envs.repos import poetry
from envs.repos.pytest_config import read_ini, read_toml
from envs.repos.requirement_files import name_of


@dataclass(frozen=True)
class Declared:
    """Requirement lines are pip's. Names of extras and groups are normalised (`tests`, `hatch-test`)."""

    name: str = ""
    version: str = ""
    backend: str = ""
    """`setuptools.build_meta`; empty where the repository cannot be built."""
    requires_python: str = ""
    dependencies: tuple[str, ...] = ()
    extras: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, names: Iterable[str]) -> list[str]:
        """The lines of extras and groups of these names, with what they name of their own kind (`pkg[test]`)."""
        found: dict[str, None] = {}
        waiting, seen = [canonicalize_name(name) for name in names], set[str]()
        while waiting:
            name = waiting.pop(0)
            for line in () if name in seen else (*self.extras.get(name, ()), *self.groups.get(name, ())):
                inner = re.fullmatch(r"([\w.-]+)\s*\[([^\]]*)\].*", line)
                if inner and canonicalize_name(inner[1]) == canonicalize_name(self.name or "."):
                    waiting += [canonicalize_name(part.strip()) for part in inner[2].split(",")]
                elif name_of(line) != canonicalize_name(self.name or "."):
                    found[line] = None
            seen.add(name)
        return list(found)


def declared(tree: Path, metadata: str = "") -> Declared:
    """Read it all; `metadata` is what a build of the tree gave. Raises `RepoError` where a file cannot be read."""
    pyproject = read_toml(tree / "pyproject.toml")
    groups = _groups(pyproject)
    built = metadata or (_text(tree / "PKG-INFO") if (tree / "PKG-INFO").is_file() else "")
    static = _static(tree, pyproject)
    backend = _backend(tree, pyproject)
    if not built:
        return Declared(**{**static, "groups": groups, "backend": backend})
    message = email.message_from_string(built)
    plain, extras = _split(message.get_all("Requires-Dist") or [])
    return Declared(
        name=str(message.get("Name", "")),
        version=str(message.get("Version", "")),
        backend=backend,
        requires_python=str(message.get("Requires-Python") or static.get("requires_python", "")),
        dependencies=tuple(plain),
        extras={**static.get("extras", {}), **extras} if plain or extras else static.get("extras", {}),
        groups=groups,
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _split(lines: Iterable[str]) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Lines of the metadata without an extra, and those of each extra without the words that name it."""
    plain: list[str] = []
    extras: dict[str, list[str]] = {}
    for line in lines:
        named = re.search(r"""extra\s*==\s*['"]([^'"]+)['"]""", line)
        if named is None:
            plain.append(line)
            continue
        word = rf"(?:\(\s*)?{re.escape(named[0])}(?:\s*\))?"
        text = re.sub(rf"\s+and\s+{word}|{word}\s+and\s+|\s*;\s*{word}\s*$", "", line, count=1)
        extras.setdefault(canonicalize_name(named[1]), []).append(text)
    return plain, {name: tuple(found) for name, found in extras.items()}


def _backend(tree: Path, pyproject: dict[str, Any]) -> str:
    given = pyproject.get("build-system", {}).get("build-backend")
    if given:
        return str(given)
    buildable = "project" in pyproject or "build-system" in pyproject or (tree / "setup.py").is_file()
    legacy = read_ini(tree / "setup.cfg")
    return "setuptools" if buildable or legacy.has_option("metadata", "name") else ""


def _static(tree: Path, pyproject: dict[str, Any]) -> dict[str, Any]:
    """Fields of `Declared` as far as files say them without a build."""
    project = pyproject.get("project", {})
    if project:
        extras = project.get("optional-dependencies", {})
        return {
            "name": str(project.get("name", "")),
            "version": str(project.get("version", "")),
            "requires_python": str(project.get("requires-python", "")),
            "dependencies": tuple(project.get("dependencies", ())),
            "extras": {canonicalize_name(name): tuple(lines) for name, lines in extras.items()},
        }
    if "poetry" in pyproject.get("tool", {}):
        return poetry.fields(pyproject["tool"]["poetry"])
    return _from_setup_cfg(tree) or _from_setup_py(tree)


def _groups(pyproject: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    tool = pyproject.get("tool", {})
    raw: dict[str, list[Any]] = {}

    def add(name: str, lines: Iterable[Any]) -> None:
        raw.setdefault(canonicalize_name(name), []).extend(lines)

    for name, lines in pyproject.get("dependency-groups", {}).items():
        add(name, lines)
    for name, lines in tool.get("pdm", {}).get("dev-dependencies", {}).items():
        add(name, lines)
    add("dev", tool.get("uv", {}).get("dev-dependencies", []))
    for name, env in tool.get("hatch", {}).get("envs", {}).items():
        known = {"default": "dev", "hatch-test": "test"}.get(name, name)
        add(known, [*env.get("dependencies", []), *env.get("extra-dependencies", [])] if isinstance(env, dict) else [])
    for name, lines in poetry.groups(tool.get("poetry", {})).items():
        add(name, lines)
    found = {name: tuple(_resolved(name, raw, ())) for name in raw}
    return {name: lines for name, lines in found.items() if lines}


def _resolved(name: str, raw: Mapping[str, list[Any]], above: tuple[str, ...]) -> list[str]:
    """A group's lines with those of the groups that it includes."""
    found: list[str] = []
    for entry in raw.get(name, []) if name not in above else []:
        if isinstance(entry, str):
            found.append(entry)
        elif isinstance(entry, dict) and "include-group" in entry:
            found += _resolved(canonicalize_name(str(entry["include-group"])), raw, (*above, name))
    return list(dict.fromkeys(found))


def _from_setup_cfg(tree: Path) -> dict[str, Any]:
    config = read_ini(tree / "setup.cfg")

    def lines(section: str, option: str) -> tuple[str, ...]:
        found = [line.split(" #")[0].strip() for line in config.get(section, option, fallback="").splitlines()]
        return tuple(line for line in found if line and not line.startswith("#"))

    if not config.has_section("options") and not config.has_option("metadata", "name"):
        return {}
    section = "options.extras_require"
    named = config.options(section) if config.has_section(section) else []
    extras: dict[str, tuple[str, ...]] = {canonicalize_name(name): lines(section, name) for name in named}
    extras["tests"] = (*extras.get("tests", ()), *lines("options", "tests_require"))
    return {
        "name": config.get("metadata", "name", fallback=""),
        "version": "" if "attr:" in (v := config.get("metadata", "version", fallback="")) or "file:" in v else v,
        "requires_python": config.get("options", "python_requires", fallback=""),
        "dependencies": lines("options", "install_requires"),
        "extras": extras,
    }


def _from_setup_py(tree: Path) -> dict[str, Any]:
    """The arguments of `setup(...)` that are literals, or names that a literal was given to."""
    try:
        module = ast.parse((tree / "setup.py").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    names: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = _literal(node.value, names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "setup":
            given.update({word.arg: _literal(word.value, names) for word in node.keywords if word.arg})
    extras = given.get("extras_require") if isinstance(given.get("extras_require"), dict) else {}
    extras = {canonicalize_name(str(name)): _strings(lines) for name, lines in (extras or {}).items()}
    extras["tests"] = (*extras.get("tests", ()), *_strings(given.get("tests_require")))
    return {
        "name": str(given.get("name") or ""),
        "version": str(given.get("version") or ""),
        "requires_python": str(given.get("python_requires") or ""),
        "dependencies": _strings(given.get("install_requires")),
        "extras": extras,
    }


def _literal(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None


def _strings(value: Any) -> tuple[str, ...]:
    values = value.splitlines() if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    return tuple(line.strip() for line in values if isinstance(line, str) and line.strip())
