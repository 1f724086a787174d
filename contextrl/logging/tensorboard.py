"""Rows as TensorBoard's event files, in the folder `tensorboard` of a run.

Invariant: a run that goes on writes into the same folder, and what it is about to go through again is taken back.
Written by tensorboardX: with the packages that it needs it takes 1 MB beside what is here anyway; TensorBoard itself,
which whoever looks at the files has, takes 55 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class TensorBoard:
    """One event file."""

    def __init__(self, folder: Path, recipe: str, iteration: int) -> None:
        """`iteration`: where the run begins or goes on."""
        from tensorboardX import SummaryWriter

        earlier = len(list(folder.glob("events.out.tfevents.*")))
        # Files are named after the second in which they are made: without the suffix one could take another's place.
        purge = iteration if earlier else None
        self._writer = SummaryWriter(str(folder), purge_step=purge, filename_suffix=f".{earlier}")
        if not earlier:
            self._writer.add_text("recipe", "".join(f"    {line}\n" for line in recipe.splitlines()), 0)

    def row(self, iteration: int, values: Mapping[str, float]) -> None:
        """One scalar each."""
        for name, value in values.items():
            self._writer.add_scalar(name.replace(" ", "_"), value, iteration)  # its names have no spaces
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
