"""What is mined, and how much of it.

Invariant: the defaults are the paper's cascade: one commit, one function, distinct but related issues, whole
trajectories with the patch masked.
"""

from __future__ import annotations

from dataclasses import dataclass

from trajectories.mining.sharing import CommitMode, FunctionMode
from trajectories.protocol import Stage

HELD_OUT = "touches a held-out function"
"""Why such a trajectory gave no pair."""


@dataclass(frozen=True)
class MinerOptions:
    """Options of the miner. All bounds are per trajectory, so an insertion costs the same however full the store is."""

    commit: CommitMode = "same"
    """Which commits two trajectories may be from."""
    function: FunctionMode = "same"
    """When two trajectories count as about the same function."""
    stages: frozenset[Stage] = frozenset({"function"})
    """How close the two trajectories of a pair must be: the same function (the paper); easier ones are for a
    curriculum. A couple counts for the deepest stage that it shares."""
    keep_after_edit: bool = True
    """Whether contexts are whole trajectories (the paper) or end with the first edit."""
    min_source_likeness: float = 0.8
    """In the commit mode `window`: how much of the place's lines must be the same at both commits, 0 to 1."""
    min_relatedness: float = 0.05
    """Issues are related when they score this much (`trajectories.mining.relatedness`), 0 to 1."""
    distinct_statements: bool = True
    """Whether two issues with the same text are the same issue, whatever their ids."""
    max_pairs_per_function: int = 8
    """Living valid pairs of a function in its run after which nothing is mined there until some are retired: no
    function fills the set, and none costs more than it brings."""
    max_pairs_per_trajectory: int = 4
    """Valid pairs of one stage after which a new trajectory looks no further (the last couple may bring two)."""
    max_partners: int = 8
    """Most partners of one stage that are looked at closely."""
    window: int = 32
    """How many of the newest trajectories of a bucket are candidates."""
    max_reuse: int = 16
    """Valid pairs of one stage, as anchor or confounder, after which a trajectory is no partner any more."""
    avoid: frozenset[str] = frozenset()
    """Held-out functions, as `repository path::qualified.name`: a trajectory that touches one is stored, never mined,
    so that training pairs and held-out pairs share no function."""
    across_runs: bool = False
    """Whether partners may come from other runs of the same store."""
    cache: int = 64_000_000
    """Characters of masked trajectories that are kept in memory; it changes the speed, nothing else."""
