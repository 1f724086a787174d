"""The training loop: roll out, store and mine, learn, publish, again.

Invariant: what a run has measured is on disk before it goes on; interrupted at any moment it leaves no sandbox, an
intact store and a checkpoint, and the same command goes on from there.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from agents.policy import load_policy
from contextrl.checkpoint import RunFolder
from contextrl.choice import ChoiceFormat, ChoicePrompt
from contextrl.config import Recipe
from contextrl.curriculum import PairSampler
from contextrl.evaluation import Measured, measure
from contextrl.heldout import heldout_pairs
from contextrl.learner import Learner, Term, Update
from contextrl.objectives.context_awareness import ContextAwareness
from contextrl.objectives.grpo import GRPO
from contextrl.outcome import report_of
from contextrl.player import Player
from contextrl.progress import Progress
from contextrl.report import write_report
from contextrl.schedule import TaskSchedule
from contextrl.world import World, build_world
from sandbox import BackendOptions, SandboxBackend, open_backend
from trajectories.judge import RuleJudge
from trajectories.miner import MinerOptions, PairMiner
from trajectories.records import ContextPair, Trajectory
from trajectories.store import SQLStore


def train(recipe: Recipe, *, progress: Progress, resume: bool = True) -> Path:
    """Run a recipe to its report; the run's folder. A finished run is returned as it is.

    Raises what the rooms raise for what a user can mend (`ValueError`s, `SandboxError`); `KeyboardInterrupt` after
    everything was put away.
    """
    folder = RunFolder(recipe, resume=resume)
    if folder.finished:
        progress.log(f"{folder.path} is finished; add --fresh to run it again")
        return folder.path
    asyncio.run(_train(recipe, folder, progress))
    return folder.path


async def _train(recipe: Recipe, folder: RunFolder, progress: Progress) -> None:
    began = time.monotonic()
    progress.stage("Opening sandboxes")
    async with _backend(recipe) as backend:
        progress.log(f"sandboxes: {backend.name}")
        world = await build_world(recipe, backend, progress)
        clock = {"prepare": time.monotonic() - began}
        with SQLStore(recipe.runs / "trajectories.db") as store:
            run = await Run.open(recipe, folder, world, backend, store, progress)
            try:
                await run.all(clock)
            finally:
                await run.player.close()


@asynccontextmanager
async def _backend(recipe: Recipe) -> AsyncIterator[SandboxBackend]:
    backend = await open_backend(recipe.backend, BackendOptions(docker_base=recipe.sandbox.docker_base))
    try:
        yield backend
    finally:
        await backend.close()


class Run:
    """One run under way. `all` plays it from wherever it stands to the report."""

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        world: World,
        backend: SandboxBackend,
        store: SQLStore,
        progress: Progress,
    ) -> None:
        self.recipe, self.folder, self.world, self.store, self.progress = recipe, folder, world, store, progress
        self.backend_name = backend.name
        saved = folder.checkpoint()
        source, device = policy_source(recipe.policy), _device(recipe)
        self.policy = load_policy(saved[0] if saved else source, device=device)
        self.reference = load_policy(source, device=device).model.requires_grad_(False) if recipe.grpo.kl else None
        self.player = Player(recipe, self.policy, world, backend)
        self.choices = ChoiceFormat(self.policy.tokenizer, recipe.context.max_pair_tokens)
        self.sampler = PairSampler(recipe.context, recipe.seed, thresholds=recipe.context.hardness)
        self.learner = self._learner()
        self.schedule = TaskSchedule(
            world.grounds, recipe.rollout.tasks_per_iteration, recipe.rollout.siblings, recipe.seed
        )
        self.miner = PairMiner(store, RuleJudge(), MinerOptions(stages=frozenset(recipe.context.stages)))
        self.iteration, self.minutes = 0, 0.0
        if saved:
            self._restore(saved[1])

    @classmethod
    async def open(cls, *parts: Any) -> Run:
        """Load the policy without holding up the event loop."""
        return await asyncio.to_thread(cls, *parts)

    async def all(self, clock: dict[str, float]) -> None:
        """Evaluate, train, evaluate, report."""
        sofar = self.folder.read("run") or {"clock": {}, "wall": 0.0}
        prompts = await self._timed(clock, "held-out pairs", self._heldout_prompts())
        before = await self._timed(clock, "evaluate", self._evaluate("before", prompts))
        await self._iterate(clock)
        after = await self._timed(clock, "evaluate", self._evaluate("after", prompts))
        wall = {k: clock.get(k, 0.0) + sofar["clock"].get(k, 0.0) for k in clock.keys() | sofar["clock"].keys()}
        write_report(self.folder.path, report_of(self, before, after, wall))

    async def _iterate(self, clock: dict[str, float]) -> None:
        config = self.recipe.train
        if config.iterations:
            self.progress.stage("Training")
        while self.iteration < config.iterations and not (config.max_minutes and self.minutes >= config.max_minutes):
            started = time.monotonic()
            row = await self._one_iteration(clock)
            self.minutes += (time.monotonic() - started) / 60
            self.folder.log(row)
            self.iteration += 1
            if self.iteration % config.checkpoint_every == 0 or self.iteration == config.iterations:
                self.folder.save(self.policy, self._state())
                self.folder.write("run", {"clock": clock, "wall": sum(clock.values())})
            accuracy = max(row["selection_accuracy"].items(), default=("-", 0.0))
            note = f"resolved {row['resolve_rate']:.0%}, pairs {row['pairs']}, level {accuracy[0]} {accuracy[1]:.0%}"
            self.progress.update(self.iteration, config.iterations, note)

    async def _one_iteration(self, clock: dict[str, float]) -> dict[str, Any]:
        """One turn of the loop; its row of metrics."""
        rollout = self.recipe.rollout
        mined: list[ContextPair] = []

        def keep(trajectory: Trajectory) -> None:
            self.store.add(trajectory)
            mined.extend(self.miner.on_insert(trajectory))

        started = time.monotonic()
        trajectories = await self._timed(
            clock,
            "roll out and grade",
            self.player.play(
                self.schedule.batch(self.iteration),
                group_size=rollout.group_size,
                temperature=rollout.temperature,
                seed=self.recipe.seed * 1_000_003 + self.iteration,
                iteration=self.iteration,
                on_trajectory=keep,
            ),
        )
        rolled = time.monotonic() - started
        self.sampler.add([p for p in mined if p.judgement == "valid"], self.iteration)
        prompts = self._training_prompts(len(trajectories))
        update = await self._timed(clock, "learn", asyncio.to_thread(self.learner.step, trajectories, prompts))
        self.sampler.update(update.results)
        self.player.engine.update_weights(self.iteration + 1)
        return self._row(trajectories, mined, update, rolled, time.monotonic() - started - rolled)

    def _training_prompts(self, trajectories: int) -> list[ChoicePrompt]:
        config = self.recipe.context
        if not config.enabled:
            return []
        count = config.pairs_per_step * self.learner.optimizer_steps(trajectories)
        rng = random.Random(f"{self.recipe.seed}/letters/{self.iteration}")
        return self.choices.balanced(self.sampler.draw(count, self.iteration), rng)

    def _row(
        self,
        trajectories: list[Trajectory],
        mined: list[ContextPair],
        update: Update,
        rolled: float,
        learned: float,
    ) -> dict[str, Any]:
        graded = [t for t in trajectories if t.reward is not None]
        sampled = sum(sum(t.loss_mask()) for t in trajectories)
        m = update.metrics
        sizes = self.sampler.sizes
        return {
            "iteration": self.iteration,
            "resolve_rate": sum(t.resolved for t in graded) / max(1, len(graded)),
            "reward_mean": sum(t.reward or 0.0 for t in graded) / max(1, len(graded)),
            "infra_failures": len(trajectories) - len(graded),
            "pairs": sum(sizes),
            "pairs_mined": sum(p.judgement == "valid" for p in mined),
            "frontier": self.sampler.frontier,
            "selection_accuracy": {f"level {i}": a for i, a in enumerate(self.sampler.accuracy) if sizes[i]},
            **{row: m[key] for row, key in METRICS.items() if key in m},
            "tokens_per_second": sampled / max(rolled, 1e-9),
            "seconds": {"rollout": rolled, "learn": learned},
        }

    async def _evaluate(self, when: str, prompts: dict[str, list[ChoicePrompt]]) -> dict[str, Measured]:
        """Kind of repository -> what was measured. Kept in the run's folder, so that it is done once."""
        kept = self.folder.read(when)
        if kept is not None:
            return {kind: Measured.model_validate(found) for kind, found in kept.items()}
        config = self.recipe.evaluation
        found: dict[str, Measured] = {}
        for kind in self.world.kinds:
            self.progress.stage(f"Evaluating {when} training: {kind}")
            found[kind] = await measure(
                self.player,
                self.learner.policy,
                self.world.heldout(kind, config.tasks, self.recipe.seed),
                prompts[kind],
                temperature=config.temperature,
                seed=self.recipe.seed,
                max_tokens=self.recipe.learner.microbatch_tokens,
                on_trajectory=self.store.add,
                progress=self.progress.update,
            )
        self.folder.write(when, {kind: m.model_dump() for kind, m in found.items()})
        return found

    async def _heldout_prompts(self) -> dict[str, list[ChoicePrompt]]:
        """Kind of repository -> choice prompts in both letter orders."""
        prompts: dict[str, list[ChoicePrompt]] = {}
        for kind in self.world.kinds:
            self.progress.stage(f"Held-out pairs: {kind}")
            pairs = await heldout_pairs(
                self.player,
                self.world,
                kind,
                self.recipe.evaluation.pairs,
                seed=self.recipe.seed,
                min_similarity=self.recipe.context.hardness[-1],
                progress=self.progress.update,
            )
            prompts[kind] = self.choices.both_orders(pairs)
        return prompts

    def _learner(self) -> Learner:
        recipe = self.recipe
        terms = [Term(GRPO(recipe.grpo))]
        if recipe.context.enabled:
            terms.append(Term(ContextAwareness(recipe.context), recipe.context.weight))
        return Learner(
            self.policy.model,
            self.reference,
            recipe.learner,
            terms,
            temperature=recipe.rollout.temperature,
            seed=recipe.seed,
        )

    def _state(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "minutes": self.minutes,
            "learner": self.learner.state_dict(),
            "sampler": self.sampler.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.iteration, self.minutes = state["iteration"], state["minutes"]
        self.learner.load_state_dict(state["learner"])
        self.sampler.load_state_dict(state["sampler"], self.store.pairs(run=self.recipe.name))
        self.player.engine.update_weights(self.iteration)

    async def _timed(self, clock: dict[str, float], name: str, work: Any) -> Any:
        started = time.monotonic()
        try:
            return await work
        finally:
            clock[name] = clock.get(name, 0.0) + time.monotonic() - started


METRICS = {
    "loss_grpo": "grpo/loss",
    "loss_ca": "ca/loss",
    "kl": "grpo/kl",
    "entropy": "grpo/entropy",
    "clip_low": "grpo/clipped_low",
    "clip_high": "grpo/clipped_high",
    "groups_without_variance": "grpo/groups_without_variance",
    "margin": "ca/margin",
    "p_a": "ca/p_a",
    "grad_norm": "learner/grad_norm",
}
"""Column of `metrics.jsonl` -> the learner's metric."""


def policy_source(policy: str) -> str | Path:
    """Where a recipe's policy is loaded from: `tiny` is the one that is shipped."""
    return Path(str(files("agents.tiny"))) / "policy" if policy == "tiny" else policy


def _device(recipe: Recipe) -> torch.device:
    """The recipe's device; `auto` takes a GPU where there is one."""
    if recipe.device != "auto":
        return torch.device(recipe.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
