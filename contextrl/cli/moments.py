"""Times as a person writes them on a command line."""

from __future__ import annotations

import re
import time
from datetime import datetime

_SECONDS = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def ago(text: str) -> float:
    """`30d`, `12h`, `90m`, `2w`: as seconds. Raises `ValueError`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([mhdw])\s*", text)
    if not found:
        raise ValueError(f"{text!r} is no length of time: write 90m, 12h, 30d or 2w")
    return float(found[1]) * _SECONDS[found[2]]


def moment(text: str) -> float:
    """`30d` (ago) or a date such as `2026-01-31` or `2026-01-31 12:00`: as seconds since the epoch. `ValueError`."""
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except ValueError:
        pass
    try:
        return time.time() - ago(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 30d for 30 days ago, or a date, 2026-01-31") from None
