"""What a patch says: the lines that it adds, removes and shows, the files that it changes.

Invariant: a script that the agent wrote to reproduce the issue, and left in its patch, is no part of the repair: it is
read as if it were not there, unless the patch holds nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from trajectories.mining.lines import telling

_FILE = re.compile(r"^\+\+\+ (?:b/)?([^\t\n\r]+)", re.MULTILINE)
_CREATED = re.compile(r"^--- /dev/null\r?\n\+\+\+ (?:b/)?([^\t\n\r]+)", re.MULTILINE)
_SECTION = re.compile(r"^(?=diff --git )", re.MULTILINE)
_SCRATCH = re.compile(
    r"(?:^|/)(?:repro|debug|demo)[^/]*$|^(?:test|tmp|temp|check|verify|script|example|simple)[^/]*\.\w+$"
)
"""Names that agents give to such scripts: the second kind only at the top of a repository."""


def added(patch: str) -> list[str]:
    """Every line that a unified diff adds, as it reads after it."""
    return [text for sign, text in _body(patch) if sign == "+"]


def before(patch: str) -> list[str]:
    """Every line that a unified diff removes or shows around a change: what stood there before."""
    return [text for sign, text in _body(patch) if sign in "- "]


def removed(patch: str) -> list[str]:
    """Every line that a unified diff removes."""
    return [text for sign, text in _body(patch) if sign == "-"]


def patched_files(patch: str) -> list[str]:
    """The paths of the files that a unified diff leaves changed."""
    return [path for path in dict.fromkeys(_FILE.findall(repairing(patch))) if path != "/dev/null"]


def _body(patch: str) -> Iterator[tuple[str, str]]:
    """Sign and text of each line of the hunks. The two lines that name a file are none of them."""
    lines = repairing(patch).split("\n")
    for i, line in enumerate(lines):
        names_old = line.startswith("--- ") and i + 1 < len(lines) and lines[i + 1].startswith("+++ ")
        names_new = line.startswith("+++ ") and i > 0 and lines[i - 1].startswith("--- ")
        if line[:1] in ("+", "-", " ") and not names_old and not names_new:
            yield line[0], line[1:].removesuffix("\r")


def added_lines(patch: str) -> list[str]:
    """The distinct lines that a unified diff adds, stripped, at least `MIN_LINE` characters without white space."""
    return [line.text for line in telling(added(patch))]


def created(patch: str) -> list[str]:
    """The paths of the files that a unified diff creates."""
    return _CREATED.findall(patch)


@lru_cache(maxsize=64)
def repairing(patch: str) -> str:
    """A diff of git without the files that it creates to reproduce the issue; as it is where nothing else is left."""
    sections = _SECTION.split(patch)
    kept = [section for section in sections if not any(map(_SCRATCH.search, created(section)))]
    return "".join(kept) if any(map(_FILE.search, kept)) else patch
