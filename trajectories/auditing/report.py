"""What an audit found, as plain data.

Invariant: a classifier is flagged exactly where it beats chance: its adjusted p-value is below the level, and its
interval is above one half. One that is as clearly below chance is reported and not flagged: what is held out is missing
from what is learned from, so that a chance imbalance of the one turns up as the opposite of the other, and more clean
sets are below chance than the level allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from trajectories.auditing.folds import Touched
from trajectories.auditing.significance import holm
from trajectories.intervals import Interval

CHANCE = 0.5
NOTHING = Interval(CHANCE, 0.0, 1.0, 0)
"""Of a classifier that could be measured on no pair."""
GROSS = 0.8
"""An accuracy that an audit must be able to notice, or it says nothing of the set."""


@dataclass(frozen=True)
class Finding:
    """How well one classifier selects."""

    name: str
    looks_at: str
    pairs: int
    """Pairs of which it knew what it needs, and for which there were others to learn from."""
    functions: int
    accuracy: float
    """Share of pairs and letter orders; chance is 0.5."""
    low: float
    high: float
    """95% interval, clustered by function."""
    p: float
    """Two-sided."""
    p_adjusted: float
    """For all classifiers that err to the same side of chance."""
    flagged: bool
    below: bool
    """Whether it is below chance as clearly as others must be above it."""
    examples: tuple[str, ...]
    """What it went by, or the pairs of which it was surest and right; only where it is flagged."""


class Trial(NamedTuple):
    """How one classifier did, before it is known how the others did."""

    name: str
    looks_at: str
    measured: list[Touched]
    """The functions of each pair that was measured."""
    accuracy: Interval
    p: float
    examples: tuple[str, ...] = ()

    def held(self, p_adjusted: float, level: float) -> Finding:
        """The finding. With thousands of pairs in both directions flips see differences that no interval does."""
        mean, low, high, functions = self.accuracy.mean, self.accuracy.low, self.accuracy.high, self.accuracy.n
        flagged, below = (p_adjusted < level and side for side in (low > CHANCE, high < CHANCE))
        measured = (len(self.measured), functions, mean, low, high, self.p, p_adjusted, flagged, below)
        return Finding(self.name, self.looks_at, *measured, self.examples if flagged else ())


def findings(trials: Sequence[Trial], level: float) -> tuple[Finding, ...]:
    """All trials, each side of chance held to the level for all of them together."""
    adjusted: dict[str, float] = {}
    for above in (True, False):
        side = {t.name for t in trials if (t.accuracy.mean >= CHANCE) == above}
        held = holm({t.name: t.p if t.name in side else 1.0 for t in trials})
        adjusted |= {name: held[name] for name in side}
    return tuple(trial.held(adjusted[trial.name], level) for trial in trials)


@dataclass(frozen=True)
class AuditReport:
    """An audit of one set."""

    pairs: int
    measured: int
    """Pairs that were measured. The others hang together with all by functions and tasks: nothing can be learned."""
    functions: int
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]
    """Classifiers that need what is not known of any pair."""
    noticeable: float
    """The smallest accuracy that would be noticed four times in five; 1 where nothing could be measured."""
    level: float
    """What an adjusted p-value must be below."""

    @property
    def flagged(self) -> list[Finding]:
        """Those that beat chance, the worst first."""
        return sorted((f for f in self.findings if f.flagged), key=lambda f: -f.accuracy)

    @property
    def below(self) -> list[Finding]:
        """Those that are below chance, the clearest first."""
        return sorted((f for f in self.findings if f.below), key=lambda f: f.accuracy)

    @property
    def enough(self) -> bool:
        """Whether there are enough pairs to say that nothing gross is there."""
        return self.noticeable <= GROSS

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            **asdict(self),
            "flagged": [f.name for f in self.flagged],
            "below": [f.name for f in self.below],
            "enough": self.enough,
        }
