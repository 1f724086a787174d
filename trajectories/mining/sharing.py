"""What two trajectories share: the commit, the file, the function.

Invariant: sharing is symmetric. Test files and files that a patch creates are nobody's common ground: every agent
writes a `reproduce.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from trajectories.mining.lines import squeeze, telling
from trajectories.mining.patches import created
from trajectories.protocol import Stage
from trajectories.records import MaskedContext

CommitMode = Literal["same", "window", "any"]
"""`same`: one base commit (the paper). `window`: also commits at which the place reads the same, or nearly. `any`."""
FunctionMode = Literal["same", "overlapping", "file"]
"""`same`: one function or class that both touch (the paper). `overlapping`: also two methods of one class, or a class
and a method of it. `file`: one file."""

_TEST = re.compile(r"(^|/)(tests?|testing)/|(^|/)(test_[^/]*|[^/]*_tests?|conftest)\.\w+$")


@dataclass(frozen=True)
class Place:
    """Where a trajectory changed something."""

    files: frozenset[str]
    functions: frozenset[str]
    """`path::qualified.name`."""

    @classmethod
    def of(cls, files: Iterable[str], functions: Iterable[str], patch: str = "") -> Place:
        """The place, without tests and new files (of which only the patch knows)."""
        out = set(created(patch))
        kept = frozenset(f for f in files if f not in out and not _TEST.search(f))
        return cls(kept, frozenset(name for name in functions if name.partition("::")[0] in kept))

    def deepest(self, other: Place, mode: FunctionMode = "same") -> Stage:
        """The deepest stage that both share, in one repository."""
        if self.meets(other, mode):
            return "function"
        return "file" if self.files & other.files else "repo"

    def meets(self, other: Place, mode: FunctionMode) -> bool:
        """Whether both touch one function, as the mode has it."""
        if mode == "file":
            return bool(self.files & other.files)
        if mode == "overlapping":
            return not scopes(self.functions).isdisjoint(scopes(other.functions))
        return not self.functions.isdisjoint(other.functions)


def scopes(functions: Iterable[str]) -> set[str]:
    """The functions and all that encloses them: `p::A.f` gives `p::A.f` and `p::A`."""
    found: set[str] = set()
    for name in functions:
        path, _, qualified = name.partition("::")
        parts = qualified.split(".")
        found.update(f"{path}::{'.'.join(parts[:n])}" for n in range(1, len(parts) + 1))
    return found


def likeness(a: str, b: str) -> float:
    """Share of equal lines of two texts of code, 0 to 1: twice the lines in common over the lines of both."""
    x, y = (Counter(squeeze(line) for line in text.split("\n") if line.strip()) for text in (a, b))
    return 2 * (x & y).total() / max(x.total() + y.total(), 1)


def share_shown(lines: Iterable[str], context: MaskedContext) -> float:
    """The share of the telling lines that a context's observations show, 0 to 1; 0 where no line tells."""
    wanted = telling(lines)
    texts = [turn.observation for turn in context.turns]
    return sum(any(line.shown_in(text) for text in texts) for line in wanted) / max(len(wanted), 1)
