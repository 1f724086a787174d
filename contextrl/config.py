"""Recipes: everything that a run can be told, each field with its meaning, its unit and the vetted default.

Invariant: a `Recipe` that exists is complete and was checked; an unknown key, wherever it stands, is refused.
Importing this module imports neither torch nor any other room.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Stage = Literal["repo", "file", "function"]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys are refused, the text under a field describes it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )


class RepositoryConfig(Section):
    """One repository that gives task instances."""

    source: Annotated[str, Field(min_length=1)]
    """`pypi:<name>==<version>#sha256=...`, `git+<url>@<revision>`, a folder, `generated:seed=0,modules=200`, or
    `tasks:<name or path>`, a task set that exists already (`contextrl tasks ls`)."""
    bugs: Positive = 200
    """Bugs to try; those that break no passing test are thrown away."""
    per_function: Positive = 4
    """Most bugs kept in one function. Context pairs need at least two."""
    suite: Literal["full", "near"] = "near"
    """Tests that validate and grade a bug. near: a few test classes near its function, which is quick. full: all tests
    of the repository. Generated repositories bring tests of their own."""
    heldout_functions: Share = 0.15
    """Share of functions whose tasks are never trained on."""
    heldout_mutations: Share = 0.15
    """Share of the other functions' tasks that are never trained on."""
    share: Annotated[float, Field(ge=0)] = 1.0
    """How much of an iteration's tasks come from here, relative to the other repositories."""
    expert_episodes: Annotated[int, Field(ge=0)] = 0
    """Episodes of a scripted expert on training tasks from here, played and mined before training begins: the paper's
    pairs come from trajectories that exist already."""


class SandboxConfig(Section):
    """What one sandbox may use."""

    memory_mb: Positive = 1024
    """Memory, MiB."""
    pids: Positive = 256
    """Processes and threads."""
    cpus: Annotated[float, Field(gt=0)] = 1.0
    """Cores (Docker backend)."""
    timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Limit of one command, seconds."""
    allow_network: bool = False
    """Whether tasks that ask for the network may have it. Without this such a task is refused."""
    docker_base: str | None = None
    """Base image of the Docker backend. Empty: one is built when no registry answers."""
    services: tuple[str, ...] = ()
    """Addresses of sandbox services for the remote backend, such as `http://HOST:8700`. Empty: those in the variable
    CONTEXTRL_SANDBOX_SERVICES. Their token is never part of a recipe: it is in CONTEXTRL_SANDBOX_TOKEN."""


class RolloutConfig(Section):
    """How episodes are played."""

    group_size: Annotated[int, Field(ge=2)] = 8
    """Episodes of the same task instance (G)."""
    tasks_per_iteration: Positive = 8
    """Task instances in one iteration; episodes in one iteration = this times the group size."""
    siblings: Positive = 4
    """Task instances of the same function that are played together; pairs are mined between them."""
    max_turns: Positive = 8
    """Turns after which an episode is truncated."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature."""
    max_new_tokens: Positive = 64
    """Most tokens sampled in one turn."""
    max_context_tokens: Positive = 1024
    """Longest episode, prompt and all turns; longer ones are truncated."""
    concurrency: Positive = 16
    """Episodes, and so sandboxes, at the same time."""
    max_staleness: Annotated[int, Field(ge=0)] = 0
    """Iterations that are played ahead while an earlier one is learned from: how many versions older than the weights
    that learn from it an episode's first turn may be. 0: nothing overlaps. Above 0 the engine keeps a copy of the
    weights, which changes between turns, and `grpo.correction` may be wanted."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Give up what is not finished so long after an iteration's episodes began; its groups have fewer members."""
    dynamic_sampling: Annotated[int, Field(ge=0)] = 0
    """While fewer groups than `tasks_per_iteration` have different rewards, play other tasks in place of the missing
    ones, so many times at most (DAPO)."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often an episode that died for a reason of ours is played again before it is dropped."""


class GRPOConfig(Section):
    """The policy-gradient term. The defaults are the paper's where it names them.

    docs/objectives.md says which settings are Dr. GRPO, DAPO, GSPO and CISPO.
    """

    weight: Annotated[float, Field(ge=0)] = 1.0
    """What the term is multiplied by; 0 trains on pairs alone."""
    surrogate: Literal["clip", "cispo"] = "clip"
    """`clip`: the ratio is clipped, and a clipped token has no gradient. `cispo`: the gradient is that of the
    log-probability, times the ratio, at most 1 + clip_high."""
    ratio: Literal["token", "sequence"] = "token"
    """`sequence`: GSPO's, the geometric mean over a trajectory's tokens."""
    clip_low: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The importance ratio is clipped below 1 - clip_low."""
    clip_high: Annotated[float, Field(gt=0)] = 0.2
    """The importance ratio is clipped above 1 + clip_high."""
    advantage_std: Literal["group", "batch", "none"] = "group"
    """What advantages are divided by: the standard deviation of the group's rewards, of all of the iteration's, or
    nothing."""
    aggregation: Literal["token-mean", "seq-mean-token-mean", "seq-mean-token-sum-norm"] = "token-mean"
    """What the summed token losses are divided by: all sampled tokens; each trajectory's own, then the number of
    trajectories; or `norm_tokens` per trajectory."""
    norm_tokens: Positive = 64
    """The constant of `seq-mean-token-sum-norm`, tokens per trajectory."""
    flat_groups: Literal["count", "leave_out"] = "count"
    """Groups in which all rewards are the same have no gradient. `count`: they stay in the denominator, so that steps
    get smaller as fewer groups have something to say; `leave_out`: the others are averaged over."""
    kl: Annotated[float, Field(ge=0)] = 1e-3
    """Weight of the k3 estimate of the KL to the reference model; 0 keeps no reference model."""
    kl_ratio: bool = False
    """Multiply that estimate by the importance ratio, which makes its gradient unbiased for stale tokens."""
    old: Literal["recorded", "recomputed"] = "recorded"
    """What the importance ratio is taken against: the log-probabilities of the engine that sampled, or the learner's
    own before its first update (for engines whose arithmetic differs)."""
    correction: Literal["none", "truncate", "mask"] = "none"
    """For samples of another policy (a stale one, another engine's arithmetic): weights by the learner's probability
    over the sampler's, cut off at `correction_high`, or 0 outside `correction_low` to `correction_high`. Makes `old`
    recomputed."""
    correction_level: Literal["token", "sequence"] = "token"
    """Of a token, or of all of a trajectory's tokens together."""
    correction_low: Annotated[float, Field(ge=0)] = 0.5
    """Of `mask`."""
    correction_high: Annotated[float, Field(gt=0)] = 2.0
    """Of both."""
    overlong_tokens: Annotated[int, Field(ge=0)] = 0
    """The reward falls by up to 1 over the last so many tokens before `rollout.max_context_tokens`; 0: it does not."""
    overlong_filter: bool = False
    """Learn nothing from episodes that were cut short; they stay in their group's mean."""

    @model_validator(mode="after")
    def _a_band(self) -> GRPOConfig:
        if self.correction == "mask" and self.correction_low >= self.correction_high:
            raise ValueError("`grpo.correction_low` must be smaller than `grpo.correction_high`")
        return self


class ContextConfig(Section):
    """The term over pairs, by default lambda * -log sigmoid(clip(l+ - l-, -c, c)), and its pairs."""

    enabled: bool = True
    """Train on mined pairs. Without it the run is plain GRPO; pairs are mined and measured all the same."""
    objective: Literal["contrast", "imitation", "reinforce", "language"] = "contrast"
    """What is learned from a pair. `contrast`: context awareness. The others are baselines: `imitation`, the right
    letter by cross-entropy; `reinforce`, letters that are sampled and rewarded; `language`, the pair as plain text."""
    before: Annotated[int, Field(ge=0)] | Literal["auto"] = 0
    """Optimiser steps on pairs alone, after the expert episodes and before the first iteration; `auto`: as many as the
    iterations take."""
    during: bool = True
    """Whether the term stays during the iterations."""
    weight: Annotated[float, Field(ge=0)] | Literal["auto"] = 1.0
    """lambda. The paper uses 0.001 to 0.005 on 8B models; a tiny policy needs far more. `auto` holds the ratio of the
    terms' gradients at `gradient_ratio`."""
    gradient_ratio: Annotated[float, Field(gt=0)] = 0.3
    """Of `weight: auto`: the norm of this term's weighted gradient over that of the policy-gradient term."""
    clip: Annotated[float, Field(gt=0)] = 5.0
    """c, in logits."""
    low_side: Literal["clip", "linear"] = "clip"
    """`clip` is the paper's: no gradient for pairs that are wrong by more than c either. `linear` keeps theirs."""
    pairs_per_step: Positive = 12
    """Pairs in one optimiser step, each with one letter order; the orders are balanced."""
    curriculum: Literal["adaptive", "uniform"] = "adaptive"
    """`adaptive` goes on to harder pairs when the frontier is mastered; `uniform` draws from all."""
    promote_at: Share = 0.8
    """Moving average of selection accuracy at which the frontier moves on."""
    frontier_share: Share = 0.7
    """Share of pairs from the frontier level; the others come from the levels below."""
    max_pair_tokens: Positive = 1024
    """Longest pair prompt. Longer contexts lose whole turns, both alike; pairs that cannot be cut enough are left out
    and counted."""
    hardness: Annotated[tuple[float, ...], Field(min_length=1)] = (0.8,)
    """Similarities at which pairs of the same function go into the next harder level; held-out pairs are those above
    the last one."""
    after_edit: Literal["mask", "drop"] = "mask"
    """What a context shows after its first edit: all, with the patch masked (the paper), or nothing."""
    commit: Literal["same", "window", "any"] = "same"
    """Base commits of a pair's trajectories: `same` (the paper), `window` (also others at which the place reads the
    same, or nearly), `any`."""
    function: Literal["same", "overlapping", "file"] = "same"
    """What both must touch to be about the same function: `same` function or class (the paper), `overlapping` (two
    methods of one class), `file`."""
    max_pairs_per_trajectory: Positive = 4
    """Pairs of one stage that are mined from a new trajectory before the miner looks no further."""
    max_pairs_per_function: Positive = 8
    """Living pairs of one function after which no more are mined there: no function fills the set."""
    max_uses: Positive | None = None
    """A pair that was learned from this often is retired."""
    max_age: Positive | None = None
    """A pair that was mined more iterations ago is retired."""
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = ("repo", "file", "function")
    """Which pairs are used, by the deepest thing both contexts share."""


class LoRAConfig(Section):
    """Small matrices that are learned in place of the weights (peft)."""

    rank: Annotated[int, Field(ge=0)] = 0
    """Of each pair of matrices; 0: all weights are learned."""
    alpha: Positive = 32
    """What they add is multiplied by alpha / rank."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the layers that get them, or `all-linear`: all but the output layer."""


class LearnerConfig(Section):
    """The optimiser step (AdamW)."""

    lr: Annotated[float, Field(gt=0)] = 3e-4
    """Peak learning rate, reached after the warm-up and then held."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay."""
    steps_per_iteration: Positive = 1
    """Passes over an iteration's trajectories. More than one makes the later ones off-policy."""
    minibatch_trajectories: Positive = 64
    """Trajectories in one optimiser step."""
    microbatch_tokens: Positive = 8192
    """Most tokens in one forward pass; changes memory, never the result. On a CPU at most 2048 are taken."""
    grad_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""
    warmup_steps: Annotated[int, Field(ge=0)] = 5
    """Optimiser steps of linear warm-up."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of activations in the learner; weights, sampling, logits and the loss on them stay in float32."""
    gradient_checkpointing: bool = False
    """Trade time for memory."""
    lora: LoRAConfig = LoRAConfig()
    """Learn adapters only. The policy without them is the reference model, which then takes no memory."""
    probe_every: Annotated[int, Field(ge=0)] = 10
    """Optimiser steps between two comparisons of the terms' gradients (norms, cosine); 0: never."""


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


class EvaluationConfig(Section):
    """What is measured before and after, on held-out tasks and pairs."""

    tasks: Annotated[int, Field(ge=0)] = 60
    """Task instances of each kind of repository, generated or real, in functions that were never trained on."""
    mutation_tasks: Annotated[int, Field(ge=0)] = 20
    """The same of other functions: only the bug was never trained on. The report tells the two apart."""
    pairs: Annotated[int, Field(ge=0)] = 100
    """Held-out context pairs of each kind of repository, each shown in both letter orders."""
    max_pair_tokens: Positive | None = None
    """Longest held-out pair prompt; longer pairs are left out. Empty: as long as in training."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """Sampling temperature; 0 is greedy."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Of the intervals in the report."""


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
    own: dict[str, tuple[str, ...]] = {}
    """Arms of your own: name -> overrides, such as `[ca.weight=0.1, learner.lr=1e-4]`."""
    every: tuple[str, ...] = ()
    """Overrides of all runs. `{seed}` in an override is the run's seed."""
    seeds: Positive | Annotated[tuple[int, ...], Field(min_length=1)] = 5
    """How many, from 0 on; or which."""


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
