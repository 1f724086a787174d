"""Recipes: everything that a run can be told, each field with its meaning, its unit and the vetted default.

Invariant: a `Recipe` that exists is complete and was checked; an unknown key, wherever it stands, is refused.
Importing this module imports neither torch nor any other room.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from contextrl.sections.base import Positive, Section, Share, Stage
from contextrl.sections.learning import ContextConfig, GRPOConfig, LearnerConfig, LoRAConfig
from contextrl.sections.playing import EvaluationConfig, RepositoryConfig, RolloutConfig, SandboxConfig
from contextrl.sections.running import LoggingConfig, MLflowConfig, StudyConfig, TrainConfig, WandbConfig

__all__ = [
    "ContextConfig",
    "EvaluationConfig",
    "GRPOConfig",
    "LearnerConfig",
    "LoRAConfig",
    "LoggingConfig",
    "MLflowConfig",
    "Positive",
    "Recipe",
    "RepositoryConfig",
    "RolloutConfig",
    "SandboxConfig",
    "Section",
    "Share",
    "Stage",
    "StudyConfig",
    "TrainConfig",
    "WandbConfig",
]


class Recipe(Section):
    """One run: what it trains, on what, how, and for how long."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Names the run's folder."""
    seed: int = 0
    """Of everything that is drawn: tasks, samples, letter orders."""
    backend: Literal["auto", "docker", "local", "remote"] = "auto"
    """`auto` takes Docker where an engine answers, otherwise Linux namespaces. `remote`: see `sandbox.services`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the policy lives."""
    policy: Annotated[str, Field(min_length=1)] = "tiny"
    """`tiny`, a folder with a causal language model in Hugging Face format, or a name on the model hub."""
    runs: Path = Path("runs")
    """Folder of the run folders."""
    store: str = ""
    """Where trajectories and pairs are kept: a file, or the URL of a database, its password in PGPASSWORD.

    Empty: the variable CONTEXTRL_STORE, and where that is not set `trajectories.db` in `runs`.
    """
    repositories: Annotated[tuple[RepositoryConfig, ...], Field(min_length=1)]
    """Where the task instances come from."""
    sandbox: SandboxConfig = SandboxConfig()
    """What one sandbox may use."""
    rollout: RolloutConfig = RolloutConfig()
    """How episodes are played."""
    grpo: GRPOConfig = GRPOConfig()
    """The policy-gradient term."""
    ca: ContextConfig = ContextConfig()
    """The context-awareness term."""
    learner: LearnerConfig = LearnerConfig()
    """The optimiser step."""
    train: TrainConfig = TrainConfig()
    """How long the run lasts."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What is measured."""
    logging: LoggingConfig = LoggingConfig()
    """Where metrics go beside the run's folder."""
    study: StudyConfig = StudyConfig()
    """Which runs `contextrl study` makes of it."""

    @model_validator(mode="after")
    def _measured_to_be_held(self) -> Recipe:
        if self.ca.weight == "auto" and not (self.learner.probe_every and self.grpo.weight):
            raise ValueError("`ca.weight: auto` needs `learner.probe_every` and `grpo.weight` above 0")
        return self

    @model_validator(mode="after")
    def _something_to_begin_with(self) -> Recipe:
        if self.ca.enabled and not (self.ca.during or self.steps_before):
            raise ValueError("`ca.during: false` needs `ca.before` above 0; `ca.enabled: false` learns from no pairs")
        if self.steps_before and not any(r.expert_episodes for r in self.repositories):
            raise ValueError(
                "`ca.before` needs pairs, and before training only a repository's `expert_episodes` give some"
            )
        return self

    @model_validator(mode="after")
    def _a_turn_fits(self) -> Recipe:
        if self.rollout.max_new_tokens >= self.rollout.max_context_tokens:
            raise ValueError("`rollout.max_new_tokens` must be smaller than `rollout.max_context_tokens`")
        return self

    @field_validator("store")
    @classmethod
    def _no_secret(cls, store: str) -> str:
        if "://" in store and urlsplit(store).scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
            raise ValueError("a store is a file, or a sqlite:// or postgresql:// URL")
        if "://" in store and urlsplit(store).password:
            raise ValueError("a recipe is written into the run's folder: give the password in the variable PGPASSWORD")
        return store

    @property
    def steps_before(self) -> int:
        """Optimiser steps on pairs alone."""
        if not self.ca.enabled or self.ca.before != "auto":
            return int(self.ca.before) if self.ca.enabled else 0
        episodes = self.rollout.tasks_per_iteration * self.rollout.group_size
        minibatches = -(-episodes // self.learner.minibatch_trajectories)
        return self.train.iterations * self.learner.steps_per_iteration * minibatches

    @property
    def heldout_pair_tokens(self) -> int:
        """Longest prompt of a held-out pair."""
        return self.evaluation.max_pair_tokens or self.ca.max_pair_tokens

    @property
    def run_dir(self) -> Path:
        """The folder of this run."""
        return self.runs / self.name

    @property
    def store_place(self) -> str | Path:
        """The URL or the path of the store. Runs share it."""
        named = self.store or os.environ.get("CONTEXTRL_STORE", "")
        return named if "://" in named else Path(named or self.runs / "trajectories.db")
