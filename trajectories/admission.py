"""What a record from outside must keep to, so that every store holds it and every list can show it.

Invariant: what passes here is stored as it is: no number is cut, none turns into NULL, and its run can be named on a
command line.
"""

from __future__ import annotations

import math

from trajectories.records import ContextPair, Trajectory
from trajectories.times import in_calendar

LONGEST_NAME = 200
"""Characters of the name of a run or a set."""
_WHOLE = range(-(2**31), 2**31)
"""What a column for whole numbers holds on every database."""


def objection_to_name(name: str) -> str:
    """Why no run or set may be called so, after "the name"; empty if one may."""
    if not name.strip():
        return "is empty"
    if len(name) > LONGEST_NAME:
        return f"has {len(name):,} characters, more than {LONGEST_NAME}"
    return "" if name.isprintable() else "holds a line break or a control character"


def checked_name(name: str, option: str) -> str:
    """The name. Raises `ValueError` that names the option by which it was given."""
    if objection := objection_to_name(name):
        raise ValueError(f"{option}: the name {objection}: give another")
    return name


def objection_to(record: Trajectory | ContextPair) -> str:
    """What keeps a record out of a store, as a sentence; empty if nothing does."""
    if objection := objection_to_name(record.run):
        return f"the name of its run {objection}"
    if not in_calendar(record.created_at):
        return f"created_at {record.created_at:g} is no time in seconds since the epoch{_hint(record.created_at)}"
    if isinstance(record, Trajectory) and not record.id.strip():
        return "its id is empty"
    pair = isinstance(record, ContextPair)
    for name in ("similarity",) if pair else ("seconds", "reward"):
        value = getattr(record, name)
        if value is not None and not math.isfinite(value):
            return f"{name} {value} is no number"
    for name in () if pair else ("iteration", "policy_version"):
        if getattr(record, name) not in _WHOLE:
            return f"{name} is a number of more than 32 bits"
    return ""


def _hint(seconds: float) -> str:
    return ": are these milliseconds?" if in_calendar(seconds / 1000) else ""
