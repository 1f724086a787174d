"""What is played, where, and what is measured of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from contextrl.sections.base import Positive, Section, Share


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
