"""How long a run lasts, where its metrics go, and what a study varies."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from contextrl.sections.base import Positive, Section


class TrainConfig(Section):
    """How long a run lasts."""

    iterations: Annotated[int, Field(ge=0)] = 40
    """Iterations; 0 only evaluates."""
    expert_minutes: Annotated[float, Field(gt=0)] | None = None
    """Start no expert episode after this many minutes of them."""
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    """Start no iteration after this many minutes of training: a run ends in time on a slow machine too."""
    checkpoint_every: Positive = 5
    """Iterations between checkpoints, from which an interrupted run goes on."""
    keep_checkpoints: Positive = 1
    """How many checkpoints are kept, the newest ones."""
    keep_every: Annotated[int, Field(ge=0)] = 0
    """Keep also those whose iteration is a multiple of this; 0: none."""
    min_free_gb: Annotated[float, Field(ge=0)] = 1.0
    """Refuse to start with less free disk than this, GB."""


class WandbConfig(Section):
    """A run of Weights & Biases. The key is never part of a recipe: `wandb login`, or WANDB_API_KEY."""

    project: Annotated[str, Field(min_length=1)]
    """Where the run is put."""
    mode: Literal["online", "offline"] = "online"
    """`offline` writes into the run's folder, for `wandb sync`."""


class MLflowConfig(Section):
    """A run of MLflow."""

    uri: Annotated[str, Field(min_length=1)]
    """Of the tracking server, such as `http://HOST:5000`, or of its database. A user and a password are never part of a
    recipe: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."""
    experiment: Annotated[str, Field(min_length=1)] = "contextrl"
    """Where the run is put; made if it is not there."""

    @field_validator("uri")
    @classmethod
    def _no_secret(cls, uri: str) -> str:
        if urlsplit(uri).password:
            raise ValueError(
                "a recipe is written into the run's folder: give MLflow's password in MLFLOW_TRACKING_PASSWORD"
            )
        return uri


class LoggingConfig(Section):
    """Where metrics go beside `metrics.jsonl` and the store, which have them always."""

    tensorboard: bool = False
    """Write TensorBoard's event files into the run's folder."""
    wandb: WandbConfig | None = None
    """Weights & Biases."""
    mlflow: MLflowConfig | None = None
    """MLflow."""


class StudyConfig(Section):
    """`contextrl study`: the recipe in several arms, each over several seeds."""

    arms: Annotated[tuple[str, ...], Field(min_length=1)] = ("grpo", "da-rl", "da-sft", "contextrl")
    """Which are run: `base`, `grpo`, `da-rl`, `da-sft`, `contextrl`, `contextrl-linear`, `language`
    (contextrl/study/arms.py), or arms of your own."""
    own: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Arms of your own: name -> overrides, such as `[ca.weight=0.1, learner.lr=1e-4]`."""
    every: tuple[str, ...] = ()
    """Overrides of all runs. `{seed}` in an override is the run's seed."""
    seeds: Positive | Annotated[tuple[int, ...], Field(min_length=1)] = 5
    """How many, from 0 on; or which."""
