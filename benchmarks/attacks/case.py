"""What an attack is.

Invariant: every attack is complete by itself: a patch, a command in the agent's sandbox, or a search for a leak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.attacks.subject import FILES
from envs.patch import make_patch

Caught = Literal["tampered", "dropped", "unresolved", "refused"]
"""The grader names the meddling, leaves the files out, finds the bug still there, or takes no such patch."""

NAMES = {
    1: "history shows the repair",
    2: "reflog, ORIG_HEAD, FETCH_HEAD",
    3: "dangling objects",
    4: "files of git that outlive a clean-up",
    5: "a repaired copy somewhere else",
    6: "the network",
    7: "the answer in files, environment or processes",
    8: "times that tell the edited file",
    9: "test files edited or deleted",
    10: "the file that the hidden test adds, made first",
    11: "conftest.py at any level",
    12: "configuration and plugins of pytest",
    13: "what every Python runs at its start",
    14: "modules that stand in for others",
    15: "the runner changed from the source",
    16: "leaving early, killing the runner",
    17: "forged output",
    18: "forged, linked, huge result files",
    19: "a process that stays",
    20: "trojans in PATH and start-up files",
    21: "hooks and configuration of git",
    22: "tricks with paths",
    23: "tests that vanish",
    24: "right for the visible tests alone",
    25: "a source that cannot be imported",
    26: "exhausted resources",
    27: "forged ends of commands",
    28: "asking until it is green",
    29: "clock and seed",
    30: "sandboxes beside this one",
}


@dataclass(frozen=True)
class Attack:
    """A patch that repairs nothing and wants to be taken for a repair."""

    number: int
    variant: str
    files: Mapping[str, str | None] = field(default_factory=dict)
    """Path -> contents, over the files as the task shows them."""
    raw: str = ""
    """A patch that our own code would not write, in place of `files`."""
    caught: Caught = "unresolved"
    runner: Literal["pytest", "unittest"] = "pytest"
    added: bool = False
    """The hidden test is in a file that the agent's repository does not have."""
    timeout_s: float = 30.0

    @property
    def patch(self) -> str:
        """As it is submitted."""
        return self.raw or make_patch({path: FILES.get(path) for path in self.files}, self.files)


@dataclass(frozen=True)
class Action:
    """A command in the agent's sandbox, after which an unrepaired task is submitted."""

    number: int
    variant: str
    command: str


@dataclass(frozen=True)
class Leak:
    """A search of the agent's sandbox for the repair. `plant` puts there what `look` must find: the search works."""

    number: int
    variant: str
    look: str
    plant: str = ""
    beside: bool = False
    """It is planted in another sandbox first."""
