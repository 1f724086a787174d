"""The interpreter that runs a repository's tests, and what is installed into it.

Invariant: the repository itself is never in it, so that no fixed version of a broken file can be imported or read
there; only what it depends on. What was only guessed is installed from wheels alone, so that none of it runs here.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import venv
from collections.abc import Iterable, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from envs.repos.fetch import command
from envs.repos.needs import Needs
from envs.repos.requirement_files import name_of
from envs.repos.source import RepoError


async def make_environment(folder: Path, python: Path) -> Path:
    """A virtual environment of this interpreter, without pip; its python. Raises `RepoError`."""
    if python == Path(sys.executable):
        await asyncio.to_thread(venv.EnvBuilder(symlinks=True, with_pip=False).create, folder)
    else:
        code, output = await command(str(python), "-I", "-m", "venv", "--without-pip", str(folder))
        if code:
            last = (output.strip().splitlines() or ["no output"])[-1]
            raise RepoError(f"{python} cannot make a virtual environment: {last} (option python)")
    return folder / "bin" / "python"


def pip_words(python: Path) -> list[str]:
    """Our own pip, working for another interpreter."""
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]


async def install(python: Path, needs: Needs) -> list[str]:
    """Install it all; what only tests want may fail, and is given back. Raises `RepoError` for the rest."""
    if not needs.all or not await _pip(python, needs.all):
        return []
    must = Needs(needs.required).all
    if must and (problem := await _pip(python, must)):
        raise RepoError(f"pip could not install what the tests need ({', '.join(must)}): {problem} (option install)")
    failed = []
    for line in needs.all:
        if line not in must and await _pip(python, [line]) and await _pip(python, [name_of(line) or line]):
            failed.append(line)
    return failed


async def install_guessed(python: Path, names: Iterable[str], own: str) -> list[str]:
    """Install distributions whose names were only guessed; those that could be had. Wheels only (see the module)."""
    wanted = [name for name in names if canonicalize_name(name) != canonicalize_name(own or ".")]
    return [name for name in wanted if not await _pip(python, ["--only-binary", ":all:", name])]


async def _pip(python: Path, words: Sequence[str]) -> str:
    """Nothing, or why it failed."""
    code, output = await command(*pip_words(python), "install", "--quiet", "--prefer-binary", *words)
    if not code:
        return ""
    errors = [line for line in output.splitlines() if line.lower().startswith("error")]
    return (errors or output.strip().splitlines() or ["no output"])[-1]


async def pinned(python: Path) -> tuple[str, ...]:
    """What is installed, as requirement lines."""
    _, frozen = await command(*pip_words(python), "freeze", "--all", "--path", str(_site(python)))
    return tuple(line for line in frozen.splitlines() if "==" in line and not line.startswith("pip=="))


def remove_package(python: Path, name: str) -> None:
    """Take out the package under test, should a dependency have brought it."""
    site = _site(python)
    for found in site.glob("*.dist-info"):
        if name and canonicalize_name(found.name.split("-")[0]) == canonicalize_name(name):
            entries = _recorded(found, site)
            for entry in entries:
                entry.unlink(missing_ok=True)
            for folder in sorted({parent for entry in entries for parent in entry.parents}, reverse=True):
                if site in folder.parents and folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()  # an empty one would be imported as a namespace
            shutil.rmtree(found, ignore_errors=True)


def _site(python: Path) -> Path:
    return next((python.parent.parent / "lib").glob("python*")) / "site-packages"


def _recorded(info: Path, site: Path) -> list[Path]:
    record = info / "RECORD"
    names = [line.split(",")[0] for line in record.read_text().splitlines()] if record.is_file() else []
    return [site / name for name in names if not name.startswith(("..", "/"))]
