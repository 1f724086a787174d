"""One row of the table: ours, a peer's, how they compare, and whether the target of issue 3 is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Target:
    """At most so much, or at least."""

    limit: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """`ours` and `theirs`: what was measured, as often as it was."""

    measure: str
    unit: str
    ours: Sequence[float]
    target: Target | None = None
    peer: str = ""
    theirs: Sequence[float] = ()
    more_is_better: bool = False

    @property
    def met(self) -> bool | None:
        """By the median."""
        return self.target.is_met(median(self.ours)) if self.target and self.ours else None

    @property
    def ratio(self) -> float | None:
        """How many times better ours is, by the medians."""
        if not self.theirs or not self.ours or not median(self.ours) or not median(self.theirs):
            return None
        ratio = median(self.theirs) / median(self.ours)
        return 1 / ratio if self.more_is_better else ratio

    def cells(self) -> list[str]:
        met = {True: "yes", False: "NO", None: ""}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.{1 if self.ratio < 10 else 0}f} x"
        ours, theirs = (_figures(values, self.more_is_better) for values in (self.ours, self.theirs))
        return [self.measure, self.unit, ours, str(self.target or ""), met, self.peer, theirs, ratio]

    def as_json(self) -> dict[str, object]:
        target = {"limit": self.target.limit, "at_least": self.target.at_least} if self.target else None
        whose = {"ours": list(self.ours), "target": target, "met": self.met, "theirs": list(self.theirs)}
        return {"measure": self.measure, "unit": self.unit, "peer": self.peer, "ratio": self.ratio, **whose}


HEAD = ["measure", "unit", "ours: median (best) n", "target", "met", "peer", "peer's: median (best) n", "ratio"]


def table(rows: Sequence[Row]) -> str:
    """What is the same as in the row above is not repeated."""
    cells, last = [], [""] * 5
    for row in rows:
        line = row.cells()
        cells.append([*([""] * 5 if line[:5] == last else line[:5]), *line[5:]])
        last = line[:5]
    lines = [HEAD, *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(f"{c:{w}}" for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def _figures(values: Sequence[float], more_is_better: bool) -> str:
    if not values:
        return "-"
    best = max(values) if more_is_better else min(values)
    return f"{_short(median(values))} ({_short(best)}) {len(values)}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
