"""`contextrl policy make`: from a seed to the shipped checkpoint.

Invariant: everything that the policy learns from was recorded in real sandboxes by an expert that acts on observations;
the demonstrations are kept in the home folder, so that an interrupted run goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from agents.expert import Script
from agents.policy import Policy, make_policy, save_policy
from agents.tiny.architecture import build_model
from agents.tiny.demonstrator import PERFECT, Habits, demonstrate
from agents.tiny.tokenizer import build_tokenizer
from contextrl.choice import CHOICE_QUESTION, CHOICE_REPLY, ChoiceFormat
from contextrl.config import Recipe, RepositoryConfig, RolloutConfig
from contextrl.player import Player
from contextrl.progress import Progress
from contextrl.warmstart.card import write_card
from contextrl.warmstart.config import WarmStart
from contextrl.warmstart.corpus import Corpus
from contextrl.warmstart.train import supervise
from contextrl.world import build_world
from envs.task import TaskInstance
from sandbox import open_backend
from sandbox.home import home
from trajectories.records import Trajectory
from trajectories.store import SQLStore

GUTTER = "| "
"""A token of its own, so that the letter before it is the very token that a choice is answered with."""
CHUNK = 200
"""Episodes between two visits to the store."""


def make_tiny_policy(config: WarmStart, progress: Progress) -> Path:
    """Make it; the folder of the checkpoint."""
    policy = new_policy(config.seed)
    demonstrations, contexts = asyncio.run(_record(config, policy, progress))
    progress.stage("Training")
    corpus = Corpus(policy.tokenizer, ChoiceFormat(policy.tokenizer, 2048), demonstrations, contexts, seed=config.seed)
    losses = supervise(policy.model, corpus, config, progress.update)
    save_policy(policy, config.out)
    write_card(config, policy, losses, demonstrations)
    return config.out


def new_policy(seed: int) -> Policy:
    """The untrained policy."""
    tokenizer = build_tokenizer((CHOICE_QUESTION, CHOICE_REPLY, GUTTER))
    model = build_model(len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id, seed)
    return make_policy(model, tokenizer, "tiny")


async def _record(config: WarmStart, policy: Policy, progress: Progress) -> tuple[list[Trajectory], list[Trajectory]]:
    """Episodes of the erring demonstrator, and of one that reads everything and is right."""
    recipe = Recipe(
        name="demonstrations",
        repositories=(
            RepositoryConfig(
                source=config.source, bugs=100_000, per_function=6, heldout_functions=0, heldout_mutations=0
            ),
        ),
        rollout=RolloutConfig(concurrency=8, max_context_tokens=2048),
    )
    backend = await open_backend(config.backend)
    try:
        world = await build_world(recipe, backend, progress)
        player = Player(recipe, policy, world, backend)
        tasks = list(world.grounds[0].train)
        random.Random(config.seed).shuffle(tasks)
        while len(tasks) < config.episodes:
            tasks += tasks
        habits = Habits(**config.habits.model_dump())
        try:
            vocabulary = policy.tokenizer.backend_tokenizer.to_str() + policy.tokenizer.chat_template
            erring = await _play(player, vocabulary, tasks[: config.episodes], habits, config.seed, progress)
            right = await _play(player, vocabulary, tasks[: config.episodes // 4], PERFECT, config.seed, progress)
        finally:
            await player.close()
    finally:
        await backend.close()
    return erring, [t for t in right if t.resolved]


async def _play(
    player: Player, vocabulary: str, tasks: Sequence[TaskInstance], habits: Habits, seed: int, progress: Progress
) -> list[Trajectory]:
    """One episode of each task, from the store where it has them. `vocabulary`: the tokenizer, as text."""
    decides = (habits, seed, vocabulary, [t.model_dump_json() for t in tasks])
    key = hashlib.sha256(repr(decides).encode()).hexdigest()[:16]
    progress.stage(f"Demonstrations{'' if habits != PERFECT else ' without errors'}")

    with SQLStore(home() / "demonstrations.db") as store:
        done = store.count(run=key)
        for start in range(done, len(tasks), CHUNK):
            chunk = tasks[start : start + CHUNK]
            played = await player.demonstrate(
                _script(f"{seed}/{start}", habits), chunk, progress=_from(start, tasks, progress)
            )
            for trajectory in played:
                store.add(trajectory.model_copy(update={"run": key}))
        return store.query(run=key)


def _script(seed: str, habits: Habits) -> Script:
    return lambda task: demonstrate(task, random.Random(f"{seed}/{task.instance_id}"), habits)


def _from(start: int, tasks: Sequence[TaskInstance], progress: Progress) -> Callable[[int, int], None]:
    return lambda done, _: progress.update(start + done, len(tasks))
