"""Numbers, times and names as a page says them."""

from __future__ import annotations

import math

NAMELESS = "(without a name)"
"""What the run without a name is called, on pages and in addresses."""


def lasted(seconds: float | None) -> str:
    """`0.25 s`, `12.3 s`, `4:05`, `1:02:03`; a dash where nobody knows."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | None) -> str:
    """Up to four significant digits; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def signed(value: float | None) -> str:
    """With its sign."""
    return "-" if value is None else f"{value:+.3g}"


def share(part: float, of: float) -> str:
    """`42%`; a dash of nothing."""
    return f"{part / of:.0%}" if of else "-"


def count(amount: int, one: str, many: str = "") -> str:
    """`1 turn`, `2 turns`, `1,200 turns`."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def named(run: str) -> str:
    """A run's name."""
    return run or NAMELESS


def brief(text: str, most: int = 80) -> str:
    """What is too long for a line, with its middle left out."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]}…{text[len(text) - most // 3 :]}"
