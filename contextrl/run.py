"""The training loop: roll out, store and mine, learn, publish, again.

Invariant: what a run has measured is on disk before it goes on. Gone on with from a checkpoint, it does what it would
have done: episodes that were played since stand, in their order, and teach again what they taught.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from agents.tool_agent import ToolAgent
from contextrl.checkpoint import RunFolder
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
from contextrl.pending import Pending
from contextrl.player import Player
from contextrl.progress import Progress
from contextrl.report import write_report
from contextrl.schedule import TaskSchedule
from contextrl.start import Start
from contextrl.versions import versions
from contextrl.world import World
from envs.task import TaskInstance
from sandbox import SandboxBackend
from trajectories.records import Trajectory
from trajectories.store import SQLStore

SANDBOXES = "roll out: sandboxes work and grade"
"""That part of the rollouts in which the policy had nothing to compute."""


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
        self.pending = Pending(folder.path / "pending")
        self.iteration, self.minutes = 0, 0.0
        if start.state:
            self._restore(start.state)
        else:
            self.feed.begin(0)
        self._begun = start.state is not None

    async def all(self) -> None:
        """Evaluate, train, evaluate, report."""
        before = await self._evaluate("before")
        if not self._begun:
            with self.clock.timed("expert episodes"):
                await self.demonstrations.play(self.name, self.store, self.feed.keep)
            self._save()  # so that no episode of the policy is ever older than the first checkpoint
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
        """The iteration's episodes, and the ids of those that an earlier session had played."""
        rollout, before = self.recipe.rollout, self.iteration
        there = self._left_behind()
        played = await self._play(self.schedule.batch(before), 0, there)
        for number in range(1, rollout.dynamic_sampling + 1):
            wanting = rollout.tasks_per_iteration - with_signal(played)
            if wanting <= 0:
                break
            tasks = self.schedule.more(before, number, wanting)
            played += await self._play(tasks, len(played) // rollout.group_size, there)
        return played, {t.id for t in there}

    def _left_behind(self) -> list[Trajectory]:
        """The iteration's episodes that a session had played which was interrupted before the next checkpoint."""
        there = self.store.query(run=self.name, iteration=self.iteration, agent=ToolAgent.name)
        stored = {t.id for t in there}
        for t in self.pending.all():
            if t.id in stored:
                self.pending.drop(t)
            elif t.status == "infra_error" or t.iteration != self.iteration:  # a record; its place is played again
                self._keep(t)
            else:
                there.append(t)
        return there

    async def _play(self, tasks: Sequence[TaskInstance], first: int, there: Sequence[Trajectory]) -> list[Trajectory]:
        rollout = self.recipe.rollout
        return await self.player.play(
            tasks,
            group_size=rollout.group_size,
            temperature=rollout.temperature,
            seed=self.recipe.seed,
            run=self.name,
            iteration=self.iteration,
            first=first,
            stored=there,
            on_finished=self.pending.save,
            on_trajectory=self._keep,
        )

    def _keep(self, trajectory: Trajectory) -> None:
        self.feed.keep(trajectory)
        self.pending.drop(trajectory)

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
        self.feed.begin(self.iteration, state["feed"])
        self.folder.forget_rows(self.iteration)
        self.player.engine.update_weights(self.iteration)


def with_signal(trajectories: Sequence[Trajectory]) -> int:
    """How many groups have different rewards."""
    rewards: dict[str, set[float]] = {}
    for t in trajectories:
        rewards.setdefault(t.group, set()).update([] if t.reward is None else [t.reward])
    return sum(len(found) > 1 for found in rewards.values())


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
