"""The training loop: roll out, store and mine, learn, publish, again.

Invariant: what a run has measured is on disk before it goes on; interrupted at any moment it leaves no sandbox, an
intact store and a checkpoint, and the same command goes on from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from agents.tool_agent import ToolAgent
from contextrl.checkpoint import RunFolder, only_process
from contextrl.clock import Clock
from contextrl.config import Recipe
from contextrl.demonstrations import Demonstrations
from contextrl.evaluation import Evaluator, Measured
from contextrl.feed import PairFeed
from contextrl.introduction import introduce
from contextrl.learner import Learner, Term
from contextrl.metrics import metrics_row
from contextrl.objectives.context_awareness import ContextAwareness
from contextrl.objectives.grpo import GRPO
from contextrl.occupancy import counted, split
from contextrl.outcome import Finished, report_of
from contextrl.player import Player
from contextrl.preflight import check_heldout
from contextrl.progress import Progress
from contextrl.report import write_report
from contextrl.schedule import TaskSchedule
from contextrl.start import Start, load_start
from contextrl.versions import versions
from contextrl.world import World, build_world
from envs.grading import GRADINGS
from sandbox import BackendOptions, Pool, SandboxBackend, open_backend
from trajectories.records import Trajectory
from trajectories.store import SQLStore

SANDBOXES = "roll out: sandboxes work and grade"
"""That part of the rollouts in which the policy had nothing to compute."""


def train(recipe: Recipe, *, progress: Progress, resume: bool = True) -> Path:
    """Run a recipe to its report; the run's folder. A finished run is returned as it is.

    Raises what the rooms raise for what a user can mend (`ValueError`s, `SandboxError`), and `KeyboardInterrupt` after
    everything was put away.
    """
    with only_process(recipe.run_dir):
        folder = RunFolder(recipe, resume=resume)
        if folder.finished:
            progress.log(f"{folder.path} is finished; add --fresh to run it again")
        else:
            asyncio.run(_train(recipe, folder, progress))
    return folder.path


async def _train(recipe: Recipe, folder: RunFolder, progress: Progress) -> None:
    """What can be refused comes before `folder.begin`: until then an earlier run is as it was."""
    clock = Clock(folder.read("clock"))
    async with AsyncExitStack() as opened:
        with clock.timed("prepare"):
            if isinstance(recipe.store_place, str):  # better told now than when the tasks are made
                SQLStore(recipe.store_place).close()
            progress.stage("Opening sandboxes")
            backend = await opened.enter_async_context(_backend(recipe))
            progress.log(f"sandboxes: {backend.name}")
            progress.stage("Loading the policy")
            start = await asyncio.to_thread(load_start, recipe, folder)
            world = await build_world(recipe, backend, progress)
            for note in check_heldout(recipe, world):
                progress.log(f"note: {note}")
        store = opened.enter_context(SQLStore(recipe.store_place))
        folder.begin()
        ready = await opened.enter_async_context(_kept_ready(recipe, backend))
        run = await asyncio.to_thread(Run, recipe, folder, start, world, ready, store, progress, clock)
        opened.callback(store.release_run, run.name)
        opened.push_async_callback(run.player.close)
        try:
            await run.all()
        finally:
            folder.write("clock", clock.seconds())


@asynccontextmanager
async def _backend(recipe: Recipe) -> AsyncIterator[SandboxBackend]:
    options = BackendOptions(docker_base=recipe.sandbox.docker_base, services=recipe.sandbox.services)
    backend = await open_backend(recipe.backend, options)
    try:
        yield backend
    finally:
        await backend.close()


@asynccontextmanager
async def _kept_ready(recipe: Recipe, backend: SandboxBackend) -> AsyncIterator[SandboxBackend]:
    """Containers take long to start, so the next ones start while the policy computes; the others come at once."""
    if backend.name != "docker":
        yield backend
        return
    pool = Pool(backend, size=recipe.rollout.concurrency + GRADINGS)
    try:
        yield pool
    finally:
        await pool.close()


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
        clock: Clock,
    ) -> None:
        self.recipe, self.folder, self.store, self.progress, self.clock = recipe, folder, store, progress, clock
        self.backend = backend
        self.name = _label(folder, store, recipe)
        introduce(store, self.name, start.policy, world)
        self.policy = start.policy
        self.player = Player(recipe, self.policy, world, backend)
        self.feed = PairFeed(
            store, start.choices, recipe.ca, run=self.name, seed=recipe.seed, avoid=world.heldout_functions
        )
        self.evaluator = Evaluator(recipe, world, self.player, start.choices, progress)
        self.demonstrations = Demonstrations(recipe, world, self.player, progress)
        self.learner = _learner(recipe, self.policy.model, start.reference)
        rollout = recipe.rollout
        self.schedule = TaskSchedule(world.grounds, rollout.tasks_per_iteration, rollout.siblings, recipe.seed)
        self.iteration, self.minutes = 0, 0.0
        if start.state:
            self._restore(start.state)

    async def all(self) -> None:
        """Evaluate, train, evaluate, report."""
        before = await self._evaluate("before")
        if self.iteration == 0:
            with self.clock.timed("expert episodes"):
                await self.demonstrations.play(self.name, self.store, self.feed.keep)
        await self._iterate()
        after = await self._evaluate("after")
        finished = Finished(
            self.recipe,
            self.name,
            self.backend.name,
            self.store,
            before,
            after,
            self.iteration,
            self.feed.mined,
            self.learner.steps_skipped,
            self.clock.seconds(),
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
            self.store.add_metrics(self.name, self.iteration, row)
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
        recipe, seconds, engine = self.recipe, dict[str, float](), self.player.engine
        self.feed.iteration, computed, waited = self.iteration, engine.busy_seconds, self.player.waited
        async with counted(self.backend) as sandboxes:
            with self.clock.timed(SANDBOXES, seconds, "rollout"):
                trajectories, stored = await self._roll_out()
        for_engine, for_grader = (now - then for now, then in zip(self.player.waited, waited, strict=True))
        played = [t for t in trajectories if t.id not in stored]
        seconds |= split(seconds["rollout"], engine.busy_seconds - computed, played, for_engine, for_grader)
        self.clock.move(SANDBOXES, "roll out: the policy computes", seconds["sampling"])
        with self.clock.timed("learn", seconds, "learning"):
            steps = self.learner.optimizer_steps(len(trajectories))
            prompts = self.feed.prompts(recipe.ca.pairs_per_step * steps)
            update = await asyncio.to_thread(self.learner.step, trajectories, prompts)
            self.feed.learned(update.results)
            self.feed.left_out(update.left_out)
            self.store.add_lessons(update.lessons)
        with self.clock.timed("publish the weights", seconds, "weight_sync"):
            engine.update_weights(self.iteration + 1)
        return metrics_row(self.iteration, trajectories, stored, update, self.feed, seconds, sandboxes)

    async def _roll_out(self) -> tuple[list[Trajectory], set[str]]:
        """The iteration's episodes, and the ids of those that an earlier session had stored."""
        recipe = self.recipe
        stored = self.store.query(run=self.name, iteration=self.iteration, agent=ToolAgent.name)
        trajectories = await self.player.play(
            self.schedule.batch(self.iteration),
            group_size=recipe.rollout.group_size,
            temperature=recipe.rollout.temperature,
            seed=recipe.seed,
            run=self.name,
            iteration=self.iteration,
            stored=stored,  # by a session that was interrupted before the next checkpoint
            on_trajectory=self.feed.keep,
        )
        return trajectories, {t.id for t in stored}

    async def _evaluate(self, when: str) -> dict[str, Measured]:
        """Kept in the run's folder, so that it is done once."""
        kept = self.folder.read(when)
        if kept is not None:
            return {kind: Measured.model_validate(found) for kind, found in kept.items()}
        played: list[Trajectory] = []
        with self.clock.timed("evaluate"):
            found = await self.evaluator.measure(
                f"Evaluating {when} training", f"{self.name}.{when}", self.learner.policy, played.append
            )
        for trajectory in played:  # not as they are played: an evaluation that is interrupted is done over
            self.store.add(trajectory)
        self.folder.write(when, {kind: m.model_dump() for kind, m in found.items()})
        self.folder.write("clock", self.clock.seconds())
        return found

    def _save(self) -> None:
        self.folder.save(self.policy, self._state())
        self.folder.write("clock", self.clock.seconds())

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


def _label(folder: RunFolder, store: SQLStore, recipe: Recipe) -> str:
    """What the run is called in the store: its name, with a number where an earlier run of that name is there."""
    known = folder.read("run")
    if known is None:
        folder.write("run", known := {"label": store.claim_run(recipe.name)})
    else:
        store.hold_run(str(known["label"]))
    label = str(known["label"])
    store.configure(label, {"recipe": recipe.model_dump(mode="json"), "versions": versions()})
    return label


def _learner(recipe: Recipe, model: Any, reference: Any) -> Learner:
    ca, longest = recipe.ca, recipe.rollout.max_context_tokens
    terms = [Term(GRPO(recipe.grpo, longest=longest), recipe.grpo.weight)]
    if ca.enabled:
        held = ca.weight == "auto"
        terms.append(
            Term(ContextAwareness(ca), 1.0 if ca.weight == "auto" else ca.weight, ca.gradient_ratio if held else None)
        )
    return Learner(model, reference, recipe.learner, terms, temperature=recipe.rollout.temperature, seed=recipe.seed)
