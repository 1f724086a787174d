"""What differs in a sandbox from what an agent was given there: texts for a patch, and one hash over all of it.

Invariant: two hashes of one task are equal if and only if the same paths differ in the same way: by the contents of
files, text or not and of any size, by the targets of links, by who may be executed and by what is gone. Times do not
count, nor which backend it is. Empty folders and special files are not looked at, as git does not.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from envs.git_objects import EPOCH
from envs.listing import LINK, Listed, Shown, is_cache, list_files
from envs.origin import Origin
from envs.patch import PatchError, check_path
from sandbox.protocol import Sandbox, SandboxFileError

MAX_CHANGED = 1000
"""Changed files that are looked at for a patch."""
MAX_BYTES = 1 << 20
"""A larger file is no source of anybody's."""
_SETTLED_S = 2.0
"""A file that changed so short a time ago may change again without its times telling: their clock ticks coarsely."""
_BATCH = 500
"""Paths on one command line."""


@dataclass(frozen=True)
class Changes:
    """What an agent changed: path -> text as it was given and as it is now, None where there is no such file."""

    before: Mapping[str, str | None] = field(default_factory=dict)
    after: Mapping[str, str | None] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    """Paths that changed and that no patch can hold, sorted: links, binary and oversized files, names that are no
    UTF-8 or that a patch cannot quote, those beyond `MAX_CHANGED`."""
    tree: str = ""
    """The hash over all of it, 64 hexadecimal digits."""


class _Difference(NamedTuple):
    before: str | None = None
    after: str | None = None
    mark: str = ""
    """What the hash takes of it; empty where nothing differs."""
    left_out: bool = False


class Watch:
    """Looks at one sandbox. What cannot have changed since the last look is not read again."""

    def __init__(
        self, sandbox: Sandbox, origin: Origin, times: Mapping[str, float], given_at: float | None = None
    ) -> None:
        """`times`: path -> time of modification when it was given, where that is not `EPOCH`.

        `given_at`: when all was given, by the sandbox's clock: what changed its status later is read, whatever time of
        modification somebody set. None where that clock is another machine's.
        """
        self._sandbox, self._origin, self._times = sandbox, origin, times
        self._given_at = math.inf if given_at is None else given_at
        self._there = dict(origin.given)
        self._found: dict[str, _Difference] = {}
        """Path -> how it differed at the last look, if it did."""
        self._seen: dict[tuple[str, bool], tuple[Listed | None, _Difference]] = {}
        """(path, whether it was read as text) -> how it was listed then, and how it differed."""

    @property
    def last(self) -> Changes:
        """What the last look saw."""
        texts = {path: d for path, d in sorted(self._found.items()) if d.before != d.after}
        return Changes(
            {path: difference.before for path, difference in texts.items()},
            {path: difference.after for path, difference in texts.items()},
            sorted(path for path, difference in self._found.items() if difference.left_out),
            _hash(self._origin.identity, {path: d.mark for path, d in self._found.items()}),
        )

    async def look(self) -> Changes:
        """All that differs now. Raises `SandboxError`."""
        there, now = await list_files(self._sandbox), time.time()
        suspects = self._suspects(there)
        texts = [path for path in suspects if self._may_be_text(path, _shown(there, path))][:MAX_CHANGED]
        found = {}
        for path in texts:
            listed = there.get(path)
            found[path] = self._known(path, True, listed) or await self._read(path, listed)
            self._keep(path, True, listed, found[path], now)
        found |= await self._sum_up({path: there.get(path) for path in suspects if path not in found}, now)
        self._there = {path: file.shown for path, file in there.items()}
        self._found = {path: difference for path, difference in found.items() if difference.mark}
        return self.last

    async def look_at(self, written: Collection[str]) -> Changes:
        """All that differs now, where since the last look these files were written, by `Sandbox.write`, and no other.

        As `look`, without the list. Raises `SandboxError`.
        """
        links = any(shown.size == LINK for shown in self._there.values())  # then another file may have been written
        if links or len(self._found) + len(written) > MAX_CHANGED:
            return await self.look()
        for path in (path for path in written if not is_cache(path)):
            try:
                data = await self._sandbox.read(path)
            except SandboxFileError:  # the writing failed
                return await self.look()
            shown = Shown(len(data), path in self._there and self._there[path].executable)
            self._there[path] = shown
            self._found[path] = self._difference(path, shown, await self._origin.read(path), data)
            if not self._found[path].mark:
                del self._found[path]
        return self.last

    def _suspects(self, there: Mapping[str, Listed]) -> list[str]:
        """Paths that may differ from what was given: they are listed otherwise, or are new, or gone. New ones last: a
        build may have made many.
        """
        given = self._origin.given
        found = [
            path
            for path, file in there.items()
            if file.shown != given.get(path)
            or (
                file.shown.size != LINK
                and (file.modified != self._times.get(path, EPOCH) or file.changed > self._given_at)
            )
        ]
        found += [path for path in given if path not in there]
        return sorted((path for path in found if not is_cache(path)), key=lambda path: (path not in given, path))

    def _may_be_text(self, path: str, shown: Shown | None) -> bool:
        given = self._origin.given.get(path)
        if (given and given.size == LINK) or (shown and not 0 <= shown.size <= MAX_BYTES):
            return False
        try:
            return bool(check_path(path))
        except PatchError:
            return False

    async def _read(self, path: str, listed: Listed | None) -> _Difference:
        old = await self._origin.read(path)
        try:
            new = await self._sandbox.read(path) if listed else None
        except SandboxFileError:  # it went away, or its name only looks like one
            return _Difference(mark=self._mark(path, listed and listed.shown, old, ""), left_out=True)
        return self._difference(path, listed and listed.shown, old, new)

    def _difference(self, path: str, shown: Shown | None, old: bytes | None, new: bytes | None) -> _Difference:
        mark = self._mark(path, shown, old, "" if new is None else _sum(new))
        try:
            if not self._may_be_text(path, shown):
                return _Difference(mark=mark, left_out=bool(mark))
            before, after = (None if data is None else data.decode() for data in (old, new))
        except UnicodeDecodeError:
            return _Difference(mark=mark, left_out=old != new)
        return _Difference(before, after, mark)

    async def _sum_up(self, paths: Mapping[str, Listed | None], now: float) -> dict[str, _Difference]:
        """How the files differ that no patch can hold: their sums are made in the sandbox."""
        found = {path: known for path, listed in paths.items() if (known := self._known(path, False, listed))}
        new = [path for path in paths if path not in found]
        files = [path for path in new if (listed := paths[path]) and listed.shown.size != LINK]
        sums: dict[str, str] = {}
        for first in range(0, len(files), _BATCH):
            command = ["/usr/bin/sha256sum", "-z", "--", *files[first : first + _BATCH]]
            said = (await self._sandbox.run(command)).stdout
            sums |= {path: digest for digest, _, path in (line.partition("  ") for line in said.split("\0") if line)}
        for path in new:
            old = await self._origin.read(path) if path in sums else None
            mark = self._mark(path, listed.shown if (listed := paths[path]) else None, old, sums.get(path, ""))
            found[path] = _Difference(mark=mark, left_out=bool(mark))
            self._keep(path, False, paths[path], found[path], now)
        return found

    def _mark(self, path: str, shown: Shown | None, old: bytes | None, digest: str) -> str:
        """`digest`: that of the file as it is now; empty where it cannot be read, which its size then stands for."""
        given = self._origin.given.get(path)
        if shown is None:
            return "gone"
        if shown.size == LINK:
            return f"link {shown.target}"
        if given and given.executable == shown.executable and old is not None and digest == _sum(old):
            return ""
        return f"{'program' if shown.executable else 'file'} {digest or shown.size}"

    def _known(self, path: str, as_text: bool, listed: Listed | None) -> _Difference | None:
        then, difference = self._seen.get((path, as_text), (None, None))
        return difference if then == listed else None

    def _keep(self, path: str, as_text: bool, listed: Listed | None, difference: _Difference, now: float) -> None:
        if listed is None or listed.changed < now - _SETTLED_S:
            self._seen[path, as_text] = listed, difference


def _shown(there: Mapping[str, Listed], path: str) -> Shown | None:
    return there[path].shown if path in there else None


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hash(identity: str, marks: Mapping[str, str]) -> str:
    lines = (f"{path}\0{marks[path]}\0" for path in sorted(marks))
    return _sum((f"{identity}\0" + "".join(lines)).encode(errors="surrogatepass"))
