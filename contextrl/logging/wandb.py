"""Rows as a run of Weights & Biases.

Invariant: a run has one id there, which is kept in its folder before the run is made; only metrics and the recipe are
sent, not the terminal's text. Iterations are its steps, so rows that an interrupted run goes through again are ignored.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from trajectories.records import new_id

if TYPE_CHECKING:
    from contextrl.checkpoint import RunFolder

KEPT = "wandb"
"""File of the run's folder."""
HOSTS = ["api.wandb.ai", "api.forge.coreweave.com"]
"""Where the client sends a run when nothing else is said: before version 0.31, and since."""


class Wandb:
    """One run."""

    def __init__(
        self, folder: RunFolder, name: str, project: str, mode: Literal["online", "offline"], recipe: Mapping[str, Any]
    ) -> None:
        import wandb

        kept = folder.read(KEPT)
        if kept is None:
            folder.write(KEPT, kept := {"id": new_id()})
        settings = wandb.Settings(silent=True, console="off", reinit="create_new")
        wandb.setup(settings)  # or it takes our `agents` for a library of that name and advertises
        self._run = wandb.init(
            project=project,
            name=name,
            id=kept["id"],
            resume="allow" if mode == "online" else None,
            mode=mode,
            dir=str(folder.path),
            config=dict(recipe),
            settings=settings,
        )

    def row(self, iteration: int, values: Mapping[str, float]) -> None:
        """One step."""
        self._run.log({"iteration": iteration, **values}, step=iteration)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


def key_is_known() -> bool:
    """Whether somebody logged in: without a key the client would ask for one in the middle of a run."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    named = urlsplit(os.environ.get("WANDB_BASE_URL", "")).hostname
    hosts = [named] if named else HOSTS
    files = [os.environ["NETRC"]] if "NETRC" in os.environ else ["~/.netrc", "~/_netrc"]
    for file in files:
        with suppress(OSError, netrc.NetrcParseError):
            known = netrc.netrc(str(Path(file).expanduser()))
            if any(known.authenticators(host) for host in hosts):
                return True
    return False
