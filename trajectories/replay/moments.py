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


def without_moments(text: str, near: Sequence[float]) -> str:
    """The text without the points in time within a day of one of `near`, seconds since 1970.

    Times are read as if they were in UTC: a day's leeway covers the zones.
    """
    return _without(text, [found for found in _found(text) if _is_near(found, near)])


def without_paired_moments(one: str, other: str, near: Sequence[float]) -> tuple[str, str]:
    """Two texts without the points in time of which the other's is within a day of one of `near`.

    Where one of them names more, nobody knows which stand for each other, and none is taken.
    """
    a, b = _found(one), _found(other)
    if len(a) != len(b):
        return one, other
    pairs = [pair for pair in zip(a, b, strict=True) if _is_near(pair[1], near)]
    return _without(one, [pair[0] for pair in pairs]), _without(other, [pair[1] for pair in pairs])


def _found(text: str) -> list[re.Match[str]]:
    return sorted((found for form in _FORMS for found in form.finditer(text)), key=lambda found: found.start())


def _without(text: str, taken: Sequence[re.Match[str]]) -> str:
    parts, at = [], 0
    for found in taken:
        if found.start() >= at:
            parts += [text[at : found.start()], "<time>"]
            at = found.end()
    return "".join(parts) + text[at:]


def _is_near(found: re.Match[str], near: Sequence[float]) -> bool:
    time = _time(found)
    return time is not None and any(abs(time - moment) < _DAY for moment in near)


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
