"""Brings the sources of a repository into an empty folder.

Invariant: the folder holds the files of one version and nothing else: no version control data, no byte code, no links
that lead outside, and one and the same modification time everywhere.
"""

from __future__ import annotations

import asyncio
import email
import hashlib
import os
import re
import shutil
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from envs.repos.source import RepoError, Source

if sys.version_info >= (3, 12):
    import tarfile
else:
    from backports import tarfile

EPOCH = 946684800
"""Modification time of every file: a later one would tell which file a bug was put into."""
MAX_BYTES = 1 << 30
MAX_FILES = 50_000
_DROPPED_FOLDERS = {".git", ".hg", ".svn", "__pycache__", ".venv", "venv", ".tox", ".nox", "node_modules"}
_DROPPED_FOLDERS |= {".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"}


@dataclass(frozen=True)
class Fetched:
    """What was fetched. `lock` is what pins it: the archive's name and sha256, or the commit."""

    version: str = ""
    commit: str = ""
    lock: dict[str, str] = field(default_factory=dict)


async def fetch(source: Source, tree: Path, work: Path) -> Fetched:
    """Lay the sources into `tree` (made here), using the empty folder `work`. Raises `RepoError`."""
    if source.kind == "pypi":
        fetched = await _fetch_pypi(source, tree, work)
    elif source.kind == "git":
        fetched = await _fetch_git(source, tree, work)
    elif source.kind == "generated":
        fetched = _generate(source, tree)
    else:
        fetched = _copy_folder(source.folder, tree)
    normalise(tree)
    return fetched


async def command(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output of a program of the host; it does not outlive a cancelled caller."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace")


async def _fetch_pypi(source: Source, tree: Path, work: Path) -> Fetched:
    """By pip, so that the user's index, proxy and certificates count. Pip runs the package's metadata step."""
    name = source.text.removeprefix("pypi:")
    requirements = work / "requirements.txt"
    requirements.write_text(f"{name} --hash=sha256:{source.sha256}\n" if source.sha256 else f"{name}\n")
    options = ["--no-deps", "--no-binary", source.name, "--progress-bar", "off", "--dest", str(work / "sdist")]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
    code, output = await command(*pip, *options, "--requirement", str(requirements))
    if code:
        raise RepoError(_pip_failure(source, output))
    archive = next((work / "sdist").iterdir())
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    unpack(archive, tree)
    version = archive.name.removesuffix(".zip").removesuffix(".tar.gz").rpartition("-")[2]
    return Fetched(_metadata_version(tree) or version, lock={"file": archive.name, "sha256": digest})


def _pip_failure(source: Source, output: str) -> str:
    """The sentence that pip's output means."""
    if "DO NOT MATCH THE HASHES" in output:
        got = re.search(r"Got\s+([0-9a-f]{64})", output)
        return f"{source.text} has sha256 {got[1] if got else 'unknown'}, not the {source.sha256} that was asked for"
    known = re.search(r"\(from versions: (.*)\)", output)
    if known and known[1] != "none":
        return f"{source.text}: there is no such version; the newest are {', '.join(known[1].split(', ')[-5:])}"
    if "No module named pip" in output:
        return f"{sys.executable} has no pip, which fetches packages: run it with -m ensurepip, or give a folder"
    if known or "No matching distribution" in output:
        return f"{source.text}: no index that pip knows has a source distribution of {source.name!r}: check the name"
    errors = [line for line in output.splitlines() if line.strip().lower().startswith("error")]
    return f"pip could not fetch {source.text}: {(errors or output.strip().splitlines() or ['no output'])[-1].strip()}"


def unpack(archive: Path, tree: Path) -> None:
    """The contents of a source distribution's one top folder. Nothing is ever written outside `tree`."""
    inside = tree.parent / f"{tree.name}.unpacked"
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                _check_size(archive, [entry.file_size for entry in packed.infolist()])
                packed.extractall(inside)  # drops drive letters, leading slashes and ".."; writes no links
        else:
            with tarfile.open(archive) as tar:
                _check_size(archive, [member.size for member in tar.getmembers()])
                tar.extractall(inside, filter="data")
        tops = list(inside.iterdir())
        if len(tops) != 1 or not tops[0].is_dir():
            raise RepoError(f"{archive.name} is no source distribution: it has {len(tops)} entries at its top, not one")
        tops[0].rename(tree)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise RepoError(f"{archive.name} cannot be unpacked: {error}") from None
    finally:
        shutil.rmtree(inside, ignore_errors=True)


def _check_size(archive: Path, sizes: list[int]) -> None:
    if sum(sizes) > MAX_BYTES or len(sizes) > MAX_FILES:
        raise RepoError(f"{archive.name} would unpack to {len(sizes)} files and {sum(sizes) >> 20} MiB: too much")


async def _fetch_git(source: Source, tree: Path, work: Path) -> Fetched:
    if shutil.which("git") is None:
        raise RepoError(f"{source.text} needs git, which is not installed")
    env = {"GIT_TERMINAL_PROMPT": "0"}
    clone = work / "clone"
    shallow = [] if source.revision else ["--depth", "1"]
    code, output = await command("git", "clone", "--quiet", *shallow, "--", source.url, str(clone), env=env)
    if not code and source.revision:
        code, output = await command("git", "checkout", "--quiet", "--detach", source.revision, cwd=clone, env=env)
    if code:
        raise RepoError(f"{source.text} cannot be fetched: {_git_failure(output)}")
    _, commit = await command("git", "rev-parse", "HEAD", cwd=clone, env=env)
    _, tag = await command("git", "describe", "--tags", "--abbrev=0", cwd=clone, env=env)
    _copy_folder(clone, tree)
    version = _metadata_version(tree) or _version_of(tag)
    return Fetched(version, commit.strip(), {"commit": commit.strip()})


def _version_of(tag: str) -> str:
    """The version that a tag such as `v1.2.3` or `name-1.2.3` names; empty for any other text."""
    found = re.fullmatch(r"(?:.*[-_/])?v?(\d+(?:\.\w+)*)\s*", tag)
    return found[1] if found else ""


def _git_failure(output: str) -> str:
    """The line of git's output that says why; hints follow it."""
    lines = output.strip().splitlines() or ["no output"]
    return next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])


def _generate(source: Source, tree: Path) -> Fetched:
    from envs.generated import make_repository

    try:
        make_repository(tree, source.seed, source.modules)
    except ValueError as error:
        raise RepoError(f"{source.text}: {error}") from None
    return Fetched(lock={"seed": str(source.seed), "modules": str(source.modules)})


def _copy_folder(folder: Path, tree: Path) -> Fetched:
    """Regular files only; a link is followed where it leads to a file inside the folder, else left out."""

    def dropped(path: str, names: list[str]) -> set[str]:
        return {name for name in names if not _wanted(folder, Path(path) / name)}

    shutil.copytree(folder, tree, ignore=dropped, symlinks=False)
    return Fetched(_metadata_version(tree))


def _wanted(root: Path, path: Path) -> bool:
    if path.is_symlink():
        return path.is_file() and path.resolve().is_relative_to(root)
    if path.is_dir():
        return path.name not in _DROPPED_FOLDERS and not (path / "pyvenv.cfg").exists()
    return path.is_file()


def _metadata_version(tree: Path) -> str:
    info = tree / "PKG-INFO"
    return str(email.message_from_string(info.read_text()).get("Version", "")) if info.is_file() else ""


def normalise(tree: Path) -> None:
    """Drop byte code and links, set all times to `EPOCH`, folders last."""
    for path in sorted(tree.rglob("*"), reverse=True):
        if path.is_symlink() or path.suffix == ".pyc":
            path.unlink()
        elif path.is_dir() and (path.name in _DROPPED_FOLDERS or path.name.endswith(".egg-info")):
            shutil.rmtree(path)
        else:
            os.utime(path, (EPOCH, EPOCH))
    os.utime(tree, (EPOCH, EPOCH))


def tree_hash(tree: Path) -> str:
    """40 hexadecimal digits over the names and contents of all files."""
    digest = hashlib.sha1(usedforsecurity=False)
    for path in sorted(p for p in tree.rglob("*") if p.is_file()):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(tree).as_posix()}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
