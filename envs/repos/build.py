"""What an installation would add to the sources, laid beside them: metadata, generated files, extension modules.

Invariant: the repository is built from a copy of its tree, and nothing is taken from the wheel that the tree has
already: no fixed copy of a file with a bug is ever left where it could be imported or read.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.version import InvalidVersion, Version

from envs.repos.declared import Declared, declared
from envs.repos.environment import pip_words
from envs.repos.fetch import command, normalise

_BUILD_S = 900.0
_NATIVE = (".so", ".pyd")
_METADATA = ("METADATA", "entry_points.txt")


@dataclass(frozen=True)
class Built:
    """What was laid into the tree. `failed` says in a few words why there was no build."""

    metadata: str = ""
    generated: tuple[str, ...] = ()
    natives: tuple[str, ...] = ()
    failed: str = ""


async def build(tree: Path, work: Path, python: Path, version: str) -> Built:
    """Build the tree with this interpreter and lay what is missing into it. A build that fails is told, not raised.

    `version` is what was fetched: a build that asks version control for it finds none in a tree without history.
    """
    known = declared(tree)
    if not known.backend:
        return Built()
    copy, wheels = work / "build", work / "wheel"
    await asyncio.to_thread(shutil.copytree, tree, copy)
    words = [*pip_words(python), "wheel", "--no-deps", "--quiet", "--wheel-dir", str(wheels), str(copy)]
    try:
        async with asyncio.timeout(_BUILD_S):
            code, output = await command(*words, env=_versions(version or known.version))
    except TimeoutError:
        code, output = 1, f"error: it took longer than {_BUILD_S:.0f} s"
    wheel = next(wheels.glob("*.whl"), None) if wheels.is_dir() else None
    if code or wheel is None:
        built = Built(_lay_metadata(tree, _minimal(tree, known, version)), failed=_reason(output))
    else:
        built = await asyncio.to_thread(_lay, wheel, tree)
    await asyncio.to_thread(normalise, tree)
    return built


def _versions(version: str) -> dict[str, str]:
    """The variables by which builds are told a version."""
    try:
        text = str(Version(version))
    except InvalidVersion:
        text = "0.0.0"
    names = (
        "SETUPTOOLS_SCM_PRETEND_VERSION",
        "PDM_BUILD_SCM_VERSION",
        "PBR_VERSION",
        "POETRY_DYNAMIC_VERSIONING_BYPASS",
    )
    return dict.fromkeys((*names, "HATCH_VCS_PRETEND_VERSION"), text)


def _reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(?i)(\w*error|fatal)\b", line)]
    return (errors or lines or ["no output"])[-1][:200]


def _minimal(tree: Path, known: Declared, version: str) -> dict[str, str]:
    """The metadata that can be had without a build."""
    info = tree / "PKG-INFO"
    if info.is_file():
        return {"METADATA": info.read_text(encoding="utf-8", errors="replace")}
    if not known.name:
        return {}
    lines = [f"Name: {known.name}", f"Version: {known.version or version or '0.0.0'}"]
    lines += [f"Requires-Dist: {line}" for line in known.dependencies]
    return {"METADATA": "\n".join(["Metadata-Version: 2.1", *lines, ""])}


def _lay_metadata(tree: Path, files: Mapping[str, str]) -> str:
    """At the top of the tree, which every test run has on its path, in every backend."""
    text = files.get("METADATA", "")
    name = re.search(r"^Name: (.+)$", text, re.MULTILINE)
    version = re.search(r"^Version: (.+)$", text, re.MULTILINE)
    if name and version:
        stem = re.sub(r"[-_.]+", "_", name[1].strip())
        folder = tree / f"{stem}-{version[1].strip()}.dist-info"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file, contents in files.items():
            (folder / file).write_text(contents, encoding="utf-8")
    return text


def _lay(wheel: Path, tree: Path) -> Built:
    with zipfile.ZipFile(wheel) as packed:
        names = [name for name in packed.namelist() if not name.endswith("/") and ".data/" not in name]
        info = {n.rpartition("/")[2]: n for n in names if re.fullmatch(r"[^/]+\.dist-info/[^/]+", n)}
        texts = {name: packed.read(info[name]).decode(errors="replace") for name in _METADATA if name in info}
        modules = [name for name in names if ".dist-info/" not in name]
        there = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
        contents = {(tree / path).read_bytes() for path in there if path.endswith(".py")}
        laid = []
        for name, place in _places(modules, there).items():
            data = packed.read(name)
            if place not in there and (tree / place).parent.is_dir() and _is_new(place, data, there, contents):
                (tree / place).write_bytes(data)
                laid.append(place)
    natives = tuple(place for place in laid if place.endswith(_NATIVE))
    return Built(_lay_metadata(tree, texts), tuple(p for p in laid if p not in natives), natives)


def _is_new(place: str, data: bytes, there: set[str], contents: set[bytes]) -> bool:
    """No copy of a source, and no extension module that would hide one (compiled from a .py beside it)."""
    path = PurePosixPath(place)
    if place.endswith(_NATIVE):
        return f"{path.parent / path.name.split('.')[0]}.py".removeprefix("./") not in there and "__mypyc" not in place
    return not place.endswith(".py") or (data not in contents and bool(data.strip()))


def _places(modules: Iterable[str], there: set[str]) -> dict[str, str]:
    """Where in the tree each file of the wheel belongs: below the folder where most of its package's files lie."""
    modules = list(modules)
    votes: dict[str, Counter[str]] = {}
    by_name: dict[str, list[str]] = {}
    for path in there:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)
    for name in modules:
        for path in by_name.get(name.rpartition("/")[2], ()) if name.endswith(".py") else ():
            if path == name or path.endswith(f"/{name}"):
                votes.setdefault(name.split("/")[0], Counter())[path.removesuffix(name)] += 1
    roots = {top: count.most_common(1)[0][0] for top, count in votes.items()}
    shared = next(iter(set(roots.values())), "") if len(set(roots.values())) == 1 else None
    return {
        name: f"{root}{name}"
        for name in modules
        if (root := roots.get(name.split("/")[0], shared if "/" not in name else None)) is not None
    }


def host_abi(natives: Iterable[str]) -> str:
    """`cpython-311` of the extension modules, empty where they fit every Python."""
    found = re.search(r"\.(cpython-\d+)", " ".join(natives))
    return found[1] if found else ""
