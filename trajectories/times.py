"""Times as the records hold them: seconds since the epoch, 0 where nobody knows.

Invariant: whatever number stands in a store is written somehow; it never ends a list.
"""

from __future__ import annotations

from datetime import UTC, datetime

FIRST, END = datetime(1, 1, 2, tzinfo=UTC).timestamp(), datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""What a calendar holds in every time zone."""


def in_calendar(seconds: float) -> bool:
    """Whether a date can be told of it. Not of NaN."""
    return FIRST <= seconds < END


def written(seconds: float) -> str:
    """`2026-01-31 12:00` in the local time zone, `-` where nobody knows; the number itself where it is no date."""
    if not seconds:
        return "-"
    return datetime.fromtimestamp(seconds).isoformat(" ", "minutes") if in_calendar(seconds) else f"{seconds:g}"
