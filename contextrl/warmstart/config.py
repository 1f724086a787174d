"""How the tiny policy is made. The defaults made the one that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from contextrl.config import Positive, Section, Share


class HabitsConfig(Section):
    """How often the demonstrator errs: its errors are the room that training has for improvement."""

    skip_document: Share = 0.35
    """Episodes that guess without reading the document."""
    wrong: Share = 0.3
    """Of those that read, episodes that write a neighbour of what they read."""
    source_first: Share = 0.3
    """Of those that read, episodes that read the source before the document."""
    run_tests: Share = 0.15
    """Episodes that run the tests after the edit."""


class WarmStart(Section):
    """Demonstrations in the real environment, then supervised training in two phases."""

    seed: int = 0
    """Of everything that is drawn."""
    source: str = "generated:seed=1000,modules=120"
    """The repository that is demonstrated on; never one that a recipe trains or evaluates on."""
    episodes: Positive = 2000
    """Demonstrations; each is used several times under other names."""
    habits: HabitsConfig = HabitsConfig()
    """The demonstrator."""
    copy_steps: Positive = 1500
    """Optimiser steps of the first phase: repeats, quotes, demonstrations, some choices."""
    choice_steps: Positive = 450
    """Optimiser steps of the second phase: half of them two-way choices between easy contexts. It ends when these are
    just learned: trained on, the policy comes to rely on names alone and has to unlearn that on harder pairs."""
    batch: Positive = 8
    """Sequences in one step (repeats: twice as many)."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Of the first phase; the second has half of it."""
    backend: str = "auto"
    """Where the demonstrations are played."""
    out: Path = Path("agents/tiny/policy")
    """Where the checkpoint goes."""
