"""Points in time that a text names.

Invariant: only what has a day, a year and a clock with seconds is one: a date or a clock alone may be a result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

_DAY = 86400.0
_MONTHS = {"Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6, "Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10}
_MONTHS |= {"Nov": 11, "Dec": 12, "Mär": 3, "Mai": 5, "Okt": 10, "Dez": 12}
MONTH = f"(?:{'|'.join(_MONTHS)})"
"""The short name of a month, in English or in German."""
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Mo|Di|Mi|Do|Fr|Sa|So),? )?"
_DATE = rf"{_WEEKDAY}(?:(?P<m1>{MONTH}) (?P<d1>[ \d]\d),?|(?P<d2>\d\d?)\.?[ /-](?P<m2>{MONTH}))"
_CLOCK = r"(?P<clock>\d\d?:\d\d:\d\d)(?:[.,]\d+)?(?P<half> [AP]M)?"
_OFFSET = r"(?: ?[+-]\d\d:?\d\d)?"
_ZONE = r"(?: (?:UTC|GMT|[A-Z]{1,2}[SD]T|[CEW]ET))?"
_FORMS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?P<year>\d{{4}})-(?P<m1>\d\d)-(?P<d1>\d\d)[T ]{_CLOCK}(?:Z\b)?{_OFFSET}",  # ISO 8601, logging's
        rf"\b{_DATE}[ /-](?P<year>\d{{4}})[ :]{_CLOCK}{_ZONE}{_OFFSET}",  # RFC 2822, web servers' logs, `date` of en_US
        rf"\b{_DATE} {_CLOCK}(?: [A-Z]{{3,5}})? (?P<year>\d{{4}})\b{_OFFSET}",  # ctime, `date` of C and de_DE, git
    )
)


def without_moments(text: str, near: Sequence[float] | None) -> str:
    """The text without the points in time within a day of one of `near`, seconds since 1970; None: without all.

    Times are read as if they were in UTC: a day's leeway covers the zones.
    """

    def put(found: re.Match[str]) -> str:
        time = _time(found)
        taken = near is None or (time is not None and any(abs(time - moment) < _DAY for moment in near))
        return "<time>" if taken else found[0]

    for form in _FORMS:
        text = form.sub(put, text)
    return text


def _time(found: re.Match[str]) -> float | None:
    """Seconds since 1970; None where there is no such day or hour."""
    said = found.groupdict()
    month, day = said["m1"] or said["m2"], said["d1"] or said["d2"]
    hour, minute, second = map(int, said["clock"].split(":"))
    if said["half"]:
        hour = hour % 12 + 12 * (said["half"] == " PM")
    try:
        number = _MONTHS.get(month) or int(month)
        return datetime(int(said["year"]), number, int(day), hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None
