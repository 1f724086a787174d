"""The interpreter that runs a repository's tests.

Invariant: the repository itself is never installed into it, so that no fixed version of a broken file can be imported
or read there; only what it depends on.
"""

from __future__ import annotations

import email
import shutil
import sys
import venv
from pathlib import Path

from envs.repos.detect import Layout
from envs.repos.fetch import command
from envs.repos.source import RepoError


async def make_environment(folder: Path, tree: Path, layout: Layout) -> tuple[Path, tuple[str, ...]]:
    """A virtual environment of the running interpreter, without pip; its python and what was installed, pinned.

    Raises `RepoError` when pip cannot install what the tests need.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    python = folder / "bin" / "python"
    wanted = [*layout.requirements, *(["pytest"] if layout.runner == "pytest" else [])]
    pinned: tuple[str, ...] = ()
    if wanted:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
        code, output = await command(*pip, "install", "--quiet", "--prefer-binary", *wanted)
        if code:
            errors = [line for line in output.splitlines() if line.lower().startswith("error")]
            reason = (errors or output.strip().splitlines() or ["no output"])[-1]
            raise RepoError(f"pip could not install what the tests need ({', '.join(wanted)}): {reason}")
        _, frozen = await command(*pip, "freeze", "--all")
        pinned = tuple(line for line in frozen.splitlines() if "==" in line and not line.startswith("pip=="))
    _remove_package(folder, tree)
    return python, pinned


def _remove_package(folder: Path, tree: Path) -> None:
    """Take out the package under test, should a dependency have brought it; leave word of its version.

    Many packages read their own version from the installed metadata: a folder with nothing but that is put there.
    """
    info = tree / "PKG-INFO"
    if not info.is_file():
        return
    text = info.read_text()
    name = str(email.message_from_string(text).get("Name", "")).replace("-", "_")
    site = next((folder / "lib").glob("python*")) / "site-packages"
    for found in site.glob("*.dist-info"):
        if found.name.split("-")[0].lower() == name.lower():
            for entry in _recorded(found, site):
                entry.unlink(missing_ok=True)
            shutil.rmtree(found)
    metadata = site / f"{name}-{email.message_from_string(text).get('Version', '0')}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(text)


def _recorded(info: Path, site: Path) -> list[Path]:
    record = info / "RECORD"
    names = [line.split(",")[0] for line in record.read_text().splitlines()] if record.is_file() else []
    return [site / name for name in names if not name.startswith(("..", "/"))]
