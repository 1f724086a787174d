"""The repositories that the tasks of a set belong to, found by name and commit.

Invariant: a task is only ever read against the sources that it was made from; where those are not on this machine, the
error says in one sentence how to get them.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping

from envs.task import RepoProfile

Base = Callable[[str], str | None]
"""Path -> contents of a file at the base commit; None where there is no such text file."""


class TaskSetError(ValueError):
    """A task set cannot be read or written; the message says which task, which file and why."""


class Repositories:
    """Profiles that were given, else those in the home folder; the texts of their files, each read once."""

    def __init__(self, profiles: Iterable[RepoProfile] = (), sources: Mapping[str, str] | None = None) -> None:
        """`sources`: name -> what `contextrl repo add` is to be told where the profile is missing."""
        self._given = list(profiles)
        self._home: list[RepoProfile] | None = None
        self._sources = dict(sources or {})
        self._texts: dict[tuple[str, str, str], str | None] = {}

    def find(self, name: str, base_commit: str) -> RepoProfile | None:
        """The profile of that name at that commit, None where there is none."""
        if not name:
            return None
        given = next((p for p in self._given if (p.name, p.base_commit) == (name, base_commit)), None)
        if given is not None:
            return given
        if self._home is None:
            from envs.repos.store import list_profiles

            self._home = list_profiles()
        return next((p for p in self._home if (p.name, p.base_commit) == (name, base_commit)), None)

    def base(self, name: str, base_commit: str, source: str = "") -> Base:
        """Reads files of a repository. Raises `TaskSetError` where it is not on this machine."""
        profile = self.find(name, base_commit)
        if profile is None:
            source = source or self._sources.get(name, "")
            named = f" --name {shlex.quote(name)}" if name else ""
            raise TaskSetError(
                f"the repository {name or 'it was made from'} at commit {base_commit[:12]} is not on this machine: "
                f"contextrl repo add {shlex.quote(source) if source else 'SOURCE'}{named}"
            )
        return self.reader(profile)

    def reader(self, profile: RepoProfile) -> Base:
        """Reads files of a profile's tree."""

        def read(path: str) -> str | None:
            key = profile.name, profile.base_commit, path
            if key not in self._texts:
                self._texts[key] = _text(profile, path)
            return self._texts[key]

        return read


def source_of(profile: RepoProfile) -> str:
    """What to give to `contextrl repo add` to have the same sources: the version is pinned."""
    if profile.source.startswith("pypi:") and "==" not in profile.source and profile.version:
        return f"{profile.source}=={profile.version}"
    return profile.source


def _text(profile: RepoProfile, path: str) -> str | None:
    file = profile.tree / path
    if not file.resolve().is_relative_to(profile.tree.resolve()) or not file.is_file():
        return None
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError:
        raise TaskSetError(f"{path} of {profile.name} is not a text file, so no patch can change it") from None
