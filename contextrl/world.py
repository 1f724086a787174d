"""The repositories of a recipe, made ready: profiles, task instances, who is trained on and who is held out.

Invariant: a task that is evaluated is never trained on, and equal recipes give equal worlds. Everything here is cached
by content in the home folder, so the second run starts at once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from contextrl.config import Recipe, RepositoryConfig
from contextrl.preflight import TASKS, check_network
from contextrl.progress import Progress
from contextrl.recipe_file import RecipeError
from envs.repos import RepoError, add_repository, load_profile
from envs.synthesis.options import TaskOptions
from envs.task import RepoProfile, TaskInstance
from envs.tasksets import taskset
from envs.tasksets.registry import find_taskset
from sandbox.protocol import SandboxBackend

GENERATED, REAL = "generated", "real package"
"""The two kinds of repository that a report keeps apart."""


@dataclass(frozen=True)
class Ground:
    """One repository of a recipe with its tasks."""

    kind: str
    share: float
    """Share of an iteration's tasks."""
    expert_episodes: int
    train: tuple[TaskInstance, ...]
    heldout: tuple[TaskInstance, ...]

    def sample(self, count: int, seed: int) -> list[TaskInstance]:
        """At most `count` training tasks, all of a function before the next function."""
        families: dict[str, list[TaskInstance]] = {}
        for task in self.train:
            families.setdefault(task.functions[0] if task.functions else task.instance_id, []).append(task)
        names = random.Random(f"sample/{seed}").sample(sorted(families), len(families))
        return [task for name in names for task in families[name]][:count]


@dataclass(frozen=True)
class World:
    """All of them."""

    grounds: tuple[Ground, ...]
    profiles: dict[str, RepoProfile]

    @property
    def kinds(self) -> list[str]:
        """Kinds of repository there are, generated first."""
        return [kind for kind in (GENERATED, REAL) if any(g.kind == kind for g in self.grounds)]

    @property
    def splits(self) -> dict[str, str]:
        """Instance id of every held-out task -> its split."""
        return {task.instance_id: task.split for ground in self.grounds for task in ground.heldout}

    @property
    def heldout_functions(self) -> frozenset[str]:
        """Functions of held-out tasks that no training task touches, as `repository path::qualified.name`."""
        held = {f"{t.repo} {name}" for ground in self.grounds for t in ground.heldout for name in t.functions}
        return frozenset(held - self.training_functions)

    @property
    def training_functions(self) -> frozenset[str]:
        """Functions that training tasks touch, as `repository path::qualified.name`."""
        return frozenset(f"{t.repo} {name}" for ground in self.grounds for t in ground.train for name in t.functions)

    def heldout(self, kind: str, split: str, count: int, seed: int) -> list[TaskInstance]:
        """At most `count` held-out tasks of a kind and a split, drawn evenly from its repositories."""
        pools = [[t for t in g.heldout if t.split == split] for g in self.grounds if g.kind == kind]
        for pool in pools:
            random.Random(f"heldout/{seed}").shuffle(pool)
        drawn: list[TaskInstance] = []
        while len(drawn) < count and any(pools):
            drawn += [pool.pop() for pool in pools if pool]
        return drawn[:count]


async def build_world(recipe: Recipe, backend: SandboxBackend, progress: Progress) -> World:
    """Add every repository and make its tasks. Raises `RepoError`, `RecipeError`, `SandboxError`."""
    grounds: list[Ground] = []
    profiles: dict[str, RepoProfile] = {}
    for config in recipe.repositories:
        try:
            tasks, found = await _tasks(recipe, config, backend, progress)
        except RepoError as error:
            raise RecipeError(_named(config.source, str(error))) from error
        profiles |= {profile.name: profile for profile in found}
        heldout = tuple(t for t in tasks if t.split.startswith("heldout"))
        train = tuple(t for t in tasks if t.split in ("train", ""))
        if recipe.train.iterations and not train:
            raise RecipeError(f"{config.source}: no task instance is left to train on; raise `bugs` or hold out less")
        if config.expert_episodes and not all(t.profile for t in train):
            raise RecipeError(
                f"{config.source}: a scripted expert reads sources that lie here, and these tasks are in "
                "published images: set expert_episodes to 0"
            )
        kind = GENERATED if config.source.startswith("generated:") else REAL
        grounds.append(Ground(kind, config.share, config.expert_episodes, train, heldout))
        progress.log(f"{config.source.partition('#')[0]}: {len(train)} tasks to train on, {len(heldout)} held out")
    return World(tuple(grounds), profiles)


def _named(source: str, problem: str) -> str:
    """What is wrong with a repository, and with which."""
    name = source.partition("#")[0]
    return problem if name in problem else f"{name}: {problem}"


async def _tasks(
    recipe: Recipe, config: RepositoryConfig, backend: SandboxBackend, progress: Progress
) -> tuple[Sequence[TaskInstance], list[RepoProfile]]:
    name = config.source.partition("#")[0]
    if config.source.startswith(TASKS):
        tasks = find_taskset(config.source.removeprefix(TASKS))
        check_network(recipe, name, tasks)  # again: the folder may have been made after the recipe was checked
        return tasks, [load_profile(profile) for profile in sorted({t.profile for t in tasks} - {""})]
    progress.stage(f"Plugging in {name}")
    profile = await add_repository(config.source, backend=backend, on_progress=progress.update)
    progress.stage(f"Making tasks from {name}")
    options = TaskOptions(
        bugs=config.bugs,
        per_function=config.per_function,
        seed=recipe.seed,
        suite=config.suite,
        heldout_mutation=config.heldout_mutations,
        heldout_function=config.heldout_functions,
    )
    return await taskset(profile, options, backend=backend, on_progress=progress.update), [profile]
