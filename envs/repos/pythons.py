"""Interpreters of this machine.

Invariant: an interpreter is offered only after it ran and told its version.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from envs.repos.fetch import command
from envs.repos.source import RepoError

LEAST = "3.11"
"""The program that runs tests inside a sandbox needs it."""


async def find_python(wanted: str | None, requires: str) -> tuple[Path, str]:
    """The interpreter for a repository and its version: what the user wants, else ours if it fits, else one that does.

    `wanted` is `3.12`, `3.12.1` or a path; `requires` is the repository's own word (`>=3.10`). Raises `RepoError`.
    """
    try:
        fits = SpecifierSet(requires)
    except InvalidSpecifier:
        fits = SpecifierSet()
    if wanted is None and platform.python_version() in fits:
        return Path(sys.executable), platform.python_version()
    if wanted is not None and not re.fullmatch(r"\d+\.\d+(\.\d+)?", wanted):
        return await _given(wanted)
    found: dict[str, Path] = {}
    async for version, path in _all():
        if wanted in (None, version) or version.startswith(f"{wanted}."):
            found.setdefault(version, path)
    usable = [v for v in found if _key(v) >= _key(LEAST) and (wanted is not None or v in fits)]
    if usable:
        best = max(usable, key=_key)
        return found[best], best
    if wanted is None:
        raise RepoError(
            f"the repository asks for Python {requires}, and no interpreter of this machine fits (this is "
            f"{platform.python_version()}; {LEAST} or newer is needed): install one, or name one with the option python"
        )
    if found:
        raise RepoError(f"Python {wanted} is too old: tests run with {LEAST} or newer (option python)")
    raise RepoError(
        f"no Python {wanted} was found on this machine (on the PATH, among pyenv's and uv's versions): install it, "
        "or give the path of an interpreter (option python)"
    )


async def _given(wanted: str) -> tuple[Path, str]:
    path = _program(wanted)
    version = await _version(path) if path else ""
    if path is None or not version:
        raise RepoError(
            f"{wanted!r} is no Python: give a version such as 3.12, or the path of an interpreter (option python)"
        )
    if _key(version) < _key(LEAST):
        raise RepoError(f"Python {version} is too old: tests run with {LEAST} or newer (option python)")
    return path, version


def _program(wanted: str) -> Path | None:
    found = shutil.which(wanted)
    return Path(found).absolute() if found else None


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


async def _all() -> AsyncIterator[tuple[str, Path]]:
    """Ours first, then those that programs of this user would find."""
    yield platform.python_version(), Path(sys.executable)
    for path in _candidates():
        version = await _version(path)
        if version:
            yield version, path


def _candidates() -> Iterator[Path]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and "shims" not in Path(folder).parts:  # pyenv's own stand-ins for what is found below
            yield from sorted(p for p in Path(folder).glob("python3.*") if re.fullmatch(r"python3\.\d+", p.name))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob("versions/3.*/bin/python"))
    yield from sorted((Path.home() / ".local/share/uv/python").glob("cpython-3.*/bin/python3"))


async def _version(path: Path) -> str:
    try:
        code, output = await command(str(path), "-I", "-c", "import platform; print(platform.python_version())")
    except OSError:
        return ""
    text = output.strip()
    return text if not code and re.fullmatch(r"\d+\.\d+\.\d+\S*", text) else ""
