"""Names of temporary files and folders: eight characters that `tempfile` drew, behind whatever a program asked for.

Invariant: a name counts as drawn only where one of the two that stand for each other has a digit before a letter in
these eight, as a name that somebody chose hardly has: `report-version1` and `notes_2024` stay.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"(/tmp/[\w.-]{0,100}?)([a-z0-9_]{8})(?![\w-])")
_DRAWN = re.compile(r"\d[a-z]")


def without_drawn(one: str, other: str) -> tuple[str, str]:
    """Two texts without the drawn ends of names in `/tmp` that begin alike."""
    drawn = {name[1] for text in (one, other) for name in _NAME.finditer(text) if _DRAWN.search(name[2])}

    def put(name: re.Match[str]) -> str:
        return f"{name[1]}<name>" if name[1] in drawn else name[0]

    return (_NAME.sub(put, one), _NAME.sub(put, other)) if drawn else (one, other)
