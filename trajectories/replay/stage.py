"""Where a recorded action is done again, and what came of it.

Invariant: a stage has one sandbox, fresh when it was opened and gone when it was closed, and does the turns of one
trajectory in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sandbox.protocol import Sandbox
from trajectories.records import Status, Turn, Verdict


@dataclass(frozen=True)
class Answer:
    """What came of a turn, and the recorded answer as it is to be compared with that."""

    expected: str
    """The recorded observation without what only its scaffold put around it."""
    got: str
    expected_exit: int | None = None
    exit: int | None = None
    tree: str = ""
    diff: str = ""
    cpu_seconds: float | None = None
    ordered: bool = True
    """Whether the lines of the observation mean something in this order only."""
    not_compared: tuple[str, ...] = ()
    not_replayed: str = ""
    ended: bool = False
    """The episode was over before this turn, which it was not then."""


class Stage(Protocol):
    """Does the turns of a trajectory again."""

    @property
    def backend(self) -> str:
        """Name of the sandbox's backend."""

    @property
    def image(self) -> str:
        """Name of what the sandbox started from."""

    @property
    def sandbox(self) -> Sandbox | None:
        """The sandbox, while it runs."""

    @property
    def ended(self) -> Status | None:
        """How the environment has ended the episode; None where it has not, or there is none to say."""

    @property
    def earned(self) -> float | None:
        """The reward so far, where nothing is graded; None where the environment gives none."""

    async def open(self) -> None:
        """Start the sandbox. Raises `SandboxError`."""

    async def play(self, turn: Turn) -> Answer:
        """Do the next turn again. Raises `SandboxError`."""

    def disturbed(self) -> None:
        """Somebody else has used the sandbox: what differs in the repository is looked at anew."""

    async def grade(self) -> Verdict | None:
        """The verdict on what it led to; None where nobody can say. Raises `SandboxError`."""

    async def patch(self) -> str:
        """What differs from what was given, as a unified diff. Raises `SandboxError`."""

    async def close(self) -> None:
        """Stop the sandbox. Safe to call twice."""
