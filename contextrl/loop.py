"""The training loop: roll out, store and mine, learn, publish, again.

Invariant: what a run has measured is on disk before it goes on; interrupted at any moment it leaves no sandbox, an
intact store and a checkpoint, and the same command goes on from there.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from contextrl.checkpoint import RunFolder
from contextrl.choice import ChoiceFormat
from contextrl.config import Recipe
from contextrl.evaluation import Evaluator, Measured
from contextrl.feed import PairFeed
from contextrl.heldout import expert_script
from contextrl.learner import Learner, Term
from contextrl.metrics import metrics_row
from contextrl.objectives.context_awareness import ContextAwareness
from contextrl.objectives.grpo import GRPO
from contextrl.outcome import Finished, report_of
from contextrl.player import Player
from contextrl.progress import Progress
from contextrl.report import write_report
from contextrl.schedule import TaskSchedule
from contextrl.start import Start, load_start
from contextrl.world import World, build_world
from envs.task import TaskInstance
from sandbox import BackendOptions, SandboxBackend, open_backend
from trajectories.store import SQLStore

CHUNK = 60
"""Expert episodes between two looks at the clock."""


def train(recipe: Recipe, *, progress: Progress, resume: bool = True) -> Path:
    """Run a recipe to its report; the run's folder. A finished run is returned as it is.

    Raises what the rooms raise for what a user can mend (`ValueError`s, `SandboxError`), and `KeyboardInterrupt` after
    everything was put away.
    """
    folder = RunFolder(recipe, resume=resume)
    if folder.finished:
        progress.log(f"{folder.path} is finished; add --fresh to run it again")
    else:
        asyncio.run(_train(recipe, folder, progress))
    return folder.path


async def _train(recipe: Recipe, folder: RunFolder, progress: Progress) -> None:
    began = time.monotonic()
    progress.stage("Opening sandboxes")
    async with _backend(recipe) as backend:
        progress.log(f"sandboxes: {backend.name}")
        progress.stage("Loading the policy")
        start = await asyncio.to_thread(load_start, recipe, folder)
        world = await build_world(recipe, backend, progress)
        prepared = time.monotonic() - began
        with SQLStore(recipe.runs / "trajectories.db") as store:
            run = await asyncio.to_thread(Run, recipe, folder, start, world, backend, store, progress)
            run.clock["prepare"] = run.clock.get("prepare", 0.0) + prepared
            try:
                await run.all()
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
        start: Start,
        world: World,
        backend: SandboxBackend,
        store: SQLStore,
        progress: Progress,
    ) -> None:
        self.recipe, self.folder, self.world, self.store, self.progress = recipe, folder, world, store, progress
        self.backend_name = backend.name
        self.name = _label(folder, store, recipe.name)
        self.policy = start.policy
        self.player = Player(recipe, self.policy, world, backend)
        choices = ChoiceFormat(self.policy.tokenizer, recipe.context.max_pair_tokens)
        self.feed = PairFeed(store, choices, recipe.context, run=self.name, seed=recipe.seed)
        self.evaluator = Evaluator(recipe, world, self.player, choices, progress)
        self.learner = _learner(recipe, self.policy.model, start.reference)
        rollout = recipe.rollout
        self.schedule = TaskSchedule(world.grounds, rollout.tasks_per_iteration, rollout.siblings, recipe.seed)
        self.iteration, self.minutes = 0, 0.0
        self.clock: dict[str, float] = folder.read("clock") or {}
        """What the time went to, seconds, over all of the run's sessions."""
        if start.state:
            self._restore(start.state)

    async def all(self) -> None:
        """Evaluate, train, evaluate, report."""
        before = await self._evaluate("before")
        if self.iteration == 0:
            await self._expert_episodes()
        await self._iterate()
        after = await self._evaluate("after")
        finished = Finished(
            self.recipe,
            self.name,
            self.backend_name,
            self.store,
            before,
            after,
            self.iteration,
            self.feed.mined,
            self.learner.steps_skipped,
            self.clock,
        )
        write_report(self.folder.path, report_of(finished))

    async def _iterate(self) -> None:
        config, saved = self.recipe.train, self.iteration
        if self.iteration < config.iterations:
            self.progress.stage("Training")
        while self.iteration < config.iterations and not (config.max_minutes and self.minutes >= config.max_minutes):
            started = time.monotonic()
            row = await self._one_iteration()
            self.minutes += (time.monotonic() - started) / 60
            self.folder.log(row)
            self.iteration += 1
            if self.iteration % config.checkpoint_every == 0:
                self._save()
                saved = self.iteration
            levels = "  ".join(f"{level} {accuracy:.0%}" for level, accuracy in row["selection_accuracy"].items())
            note = f"resolved {row['resolve_rate']:.0%}, {row['pairs_mined']} pairs: {levels}"
            self.progress.update(self.iteration, config.iterations, note)
        if self.iteration > saved:
            self._save()  # what is evaluated next is what is kept, however training ended

    async def _one_iteration(self) -> dict[str, Any]:
        """One turn of the loop; its row of metrics."""
        recipe, seconds = self.recipe, dict[str, float]()
        self.feed.iteration = self.iteration
        with self._timed("roll out and grade", seconds, "rollout"):
            trajectories = await self.player.play(
                self.schedule.batch(self.iteration),
                group_size=recipe.rollout.group_size,
                temperature=recipe.rollout.temperature,
                seed=recipe.seed,
                run=self.name,
                iteration=self.iteration,
                on_trajectory=self.feed.keep,
            )
        with self._timed("learn", seconds, "learn"):
            steps = self.learner.optimizer_steps(len(trajectories))
            prompts = self.feed.prompts(recipe.context.pairs_per_step * steps)
            update = await asyncio.to_thread(self.learner.step, trajectories, prompts)
            self.feed.learned(update.results)
            self.player.engine.update_weights(self.iteration + 1)
        return metrics_row(self.iteration, trajectories, update, self.feed, seconds)

    async def _evaluate(self, when: str) -> dict[str, Measured]:
        """Kept in the run's folder, so that it is done once."""
        kept = self.folder.read(when)
        if kept is not None:
            return {kind: Measured.model_validate(found) for kind, found in kept.items()}
        with self._timed("evaluate"):
            found = await self.evaluator.measure(
                f"Evaluating {when} training", f"{self.name}.{when}", self.learner.policy, self.store.add
            )
        self.folder.write(when, {kind: m.model_dump() for kind, m in found.items()})
        self.folder.write("clock", self.clock)
        return found

    async def _expert_episodes(self) -> None:
        """Trajectories that pairs can be mined from before the policy has made any of its own."""
        played = {s.instance_id for s in self.store.summaries(run=self.name, agent="expert")}
        with self._timed("expert episodes"):
            for ground in self.world.grounds:
                tasks = ground.sample(ground.expert_episodes, self.recipe.seed)
                await self._demonstrate(ground.kind, [t for t in tasks if t.instance_id not in played])

    async def _demonstrate(self, kind: str, tasks: list[TaskInstance]) -> None:
        """A chunk at a time, as long as `train.expert_minutes` allows."""
        script = expert_script(self.world, kind, self.recipe.seed)
        deadline = time.monotonic() + 60 * (self.recipe.train.expert_minutes or math.inf)
        for at in range(0, len(tasks), CHUNK):
            if at == 0:
                self.progress.stage(f"Expert episodes: {kind}")
            if time.monotonic() < deadline:
                chunk = tasks[at : at + CHUNK]
                await self.player.demonstrate(script, chunk, run=self.name, on_trajectory=self.feed.keep)
                self.progress.update(at + len(chunk), len(tasks))

    def _save(self) -> None:
        self.folder.save(self.policy, self._state())
        self.folder.write("clock", self.clock)

    def _state(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "minutes": self.minutes,
            "learner": self.learner.state_dict(),
            "feed": self.feed.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.iteration, self.minutes = state["iteration"], state["minutes"]
        self.learner.load_state_dict(state["learner"])
        self.feed.load_state_dict(state["feed"])
        self.player.engine.update_weights(self.iteration)

    @contextmanager
    def _timed(self, name: str, row: dict[str, float] | None = None, key: str = "") -> Iterator[None]:
        """Add the wall time of a block to the run's clock, and to a row."""
        started = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - started
            self.clock[name] = self.clock.get(name, 0.0) + spent
            if row is not None:
                row[key] = spent


def _label(folder: RunFolder, store: SQLStore, name: str) -> str:
    """What the run is called in the store: its name, with a number where an earlier run of that name is there."""
    known = folder.read("run")
    if known is None:
        label, number = name, 1
        while store.count(run=label) or store.count(run=f"{label}.before"):
            number += 1
            label = f"{name}-{number}"
        folder.write("run", known := {"label": label})
    return str(known["label"])


def _learner(recipe: Recipe, model: Any, reference: Any) -> Learner:
    terms = [Term(GRPO(recipe.grpo), recipe.grpo.weight)]
    if recipe.context.enabled:
        terms.append(Term(ContextAwareness(recipe.context), recipe.context.weight))
    return Learner(model, reference, recipe.learner, terms, temperature=recipe.rollout.temperature, seed=recipe.seed)
