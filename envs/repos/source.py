"""Where a repository comes from: `pypi:`, `git+`, `generated:` or a folder.

Invariant: a source says what is fetched and nothing about how it is tested. Every mistake in one is a `RepoError` whose
message is one sentence for a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["pypi", "git", "generated", "folder"]

_PACKAGE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)(?:==(?P<version>[A-Za-z0-9.!+_-]+))?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_KNOWN = (
    "give pypi:NAME or pypi:NAME==VERSION, git+URL or git+URL@REVISION, "
    "generated:seed=0,modules=200, or the path of a folder"
)


class RepoError(ValueError):
    """A repository cannot be made ready; the message says what is wrong and what to do, in one sentence."""


@dataclass(frozen=True)
class Source:
    """A parsed source. `text` is what the user gave, without the hash."""

    kind: Kind
    text: str
    name: str
    """Default name of the profile."""
    version: str = ""
    sha256: str = ""
    """Of the source distribution, where the user pinned it."""
    url: str = ""
    revision: str = ""
    folder: Path = Path()
    seed: int = 0
    modules: int = 0


def parse_source(text: str) -> Source:
    """What `contextrl repo add` is given. Raises `RepoError`."""
    scheme, colon, rest = text.partition(":")
    if scheme == "pypi" and colon:
        return _pypi(rest)
    if text.startswith("git+"):
        return _git(text)
    if scheme == "generated" and colon:
        return _generated(text, rest)
    if colon and "/" not in scheme and not Path(text).exists():
        raise RepoError(f"{text!r} has the unknown scheme {scheme!r}: {_KNOWN}")
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise RepoError(f"there is no folder {text!r}: {_KNOWN}")
    return Source("folder", text, check_name(_slug(folder.resolve().name)), folder=folder.resolve())


def check_name(name: str) -> str:
    """A name that can be a folder's and a container's. Raises `RepoError`."""
    if not _NAME.fullmatch(name):
        raise RepoError(f"{name!r} cannot name a repository: use letters, digits, '.', '_' and '-' (option name)")
    return name


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")


def _pypi(rest: str) -> Source:
    requirement, _, fragment = rest.partition("#")
    match = _PACKAGE.fullmatch(requirement)
    if match is None:
        raise RepoError(f"'pypi:{requirement}' is no package: give pypi:NAME or pypi:NAME==VERSION")
    sha256 = fragment.removeprefix("sha256=")
    if fragment and (not fragment.startswith("sha256=") or not _SHA256.fullmatch(sha256)):
        raise RepoError(f"'pypi:{rest}' has a broken hash: give #sha256= and 64 hexadecimal digits")
    if sha256 and not match["version"]:
        raise RepoError(f"'pypi:{rest}' pins a hash but no version: give pypi:{match['name']}==VERSION#sha256=...")
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    return Source("pypi", f"pypi:{requirement}", name, version=match["version"] or "", sha256=sha256)


def _git(text: str) -> Source:
    url = text.removeprefix("git+")
    head, slash, tail = url.rpartition("/")
    tail, _, revision = tail.partition("@")
    if "://" not in url or not tail or not slash:
        raise RepoError(f"{text!r} is no git address: give git+https://HOST/PATH, git+ssh://... or git+file:///PATH")
    name = check_name(_slug(tail.removesuffix(".git")))
    return Source("git", text, name, url=f"{head}/{tail}", revision=revision)


def _generated(text: str, rest: str) -> Source:
    values = {"seed": 0, "modules": 200}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in values or not value.isdecimal():
            raise RepoError(f"{text!r} has {part!r}, which means nothing here: give generated:seed=0,modules=200")
        values[key] = int(value)
    seed, modules = values["seed"], values["modules"]
    canonical = f"generated:seed={seed},modules={modules}"
    return Source("generated", canonical, f"generated-{seed}", seed=seed, modules=modules)
