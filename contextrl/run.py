"""The training loop: roll out, store and mine, learn, publish, again.

Invariant: what a run has measured is on disk before it goes on. Gone on with from a checkpoint, it does what it would
have done: episodes that were played since stand, in their order, and teach again what they taught.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any

from contextrl.checkpoint import RunFolder
from contextrl.clock import Clock
from contextrl.config import Recipe
from contextrl.demonstrations import Demonstrations
from contextrl.drift import drift
from contextrl.evaluation import Evaluator, Measured
from contextrl.feed import PairFeed
from contextrl.introduction import introduce
from contextrl.learner import Learner, Term
from contextrl.logging.opening import Sinks
from contextrl.metrics import metrics_row, told
from contextrl.objectives.chosen import pair_objective
from contextrl.objectives.grpo import GRPO
from contextrl.outcome import Finished, report_of
from contextrl.overlap import overlap
from contextrl.pairs_first import PairsFirst
from contextrl.player import Player
from contextrl.progress import Progress
from contextrl.ranks import Leader, Ranks
from contextrl.report import write_report
from contextrl.rollouts import Rolled, Rollouts
from contextrl.schedule import TaskSchedule
from contextrl.scoring import Scorer
from contextrl.start import Start
from contextrl.trouble import Troubles
from contextrl.versions import versions
from contextrl.world import World
from sandbox import SandboxBackend
from trajectories.records import Trajectory
from trajectories.store import SQLStore

if TYPE_CHECKING:
    from torch import Tensor

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
        ranks: Ranks,
    ) -> None:
        self.recipe, self.folder, self.store, self.progress, self.clock = recipe, folder, store, progress, clock
        self.backend = backend
        self.name = _label(folder, store, recipe)
        introduce(store, self.name, start.policy, world)
        self.policy = start.policy
        self.together = ranks.size > 1
        self.player = Player(recipe, self.policy, world, backend, own_weights=self.together)
        self.feed = PairFeed(
            store, start.choices, recipe.ca, run=self.name, seed=recipe.seed, avoid=world.heldout_functions
        )
        self.evaluator = Evaluator(recipe, world, self.player, start.choices, progress)
        self.demonstrations = Demonstrations(recipe, world, self.player, progress)
        self.learner: Any = Leader(learner_of(recipe, self.policy.model, start.reference, ranks), ranks)
        rollout = recipe.rollout
        schedule = TaskSchedule(world.grounds, rollout.tasks_per_iteration, rollout.siblings, recipe.seed)
        self.rollouts = Rollouts(recipe, self.name, folder.path, self.player, self.feed, schedule, store, backend)
        self.sinks, self.troubles = Sinks([]), Troubles(recipe.ca)
        self.iteration, self.minutes = -recipe.steps_before, 0.0
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
        await self._learn_from_pairs()
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

    async def _learn_from_pairs(self) -> None:
        """The iterations below 0."""
        if self.iteration >= 0:
            return
        first, steps = PairsFirst(self.recipe, self.feed, self.learner), -self.iteration
        self.progress.stage("Learning from pairs alone")
        with self.clock.timed("learn from pairs alone"):
            while self.iteration < 0:
                self.folder.log(await first.step(self.iteration))
                self.iteration += 1
                self.progress.update(steps + self.iteration, steps)
                if self.iteration < 0 and self.iteration % first.checkpoint_every == 0:
                    self.folder.save(self.policy, self._state(), self._weights())
        self.rollouts.begin(0)
        self.player.engine.update_weights(0, self._weights())
        self._save()

    async def _iterate(self) -> None:
        config, self._saved = self.recipe.train, self.iteration
        if self.iteration < config.iterations and not self._out_of_time():
            self.progress.stage("Training")
            self.progress.update(self.iteration, config.iterations)  # from here on counts what is left
            self._since = time.monotonic()
            ahead = self.recipe.rollout.max_staleness
            try:
                await overlap(self.iteration, config.iterations, self.rollouts.play, self._learn, ahead=ahead)
            finally:
                self.clock.add(SANDBOXES, max(0.0, time.monotonic() - self._since))
        if self.iteration > self._saved:
            self._save()  # what is evaluated next is what is kept, however training ended

    async def _learn(self, iteration: int, rolled: Rolled) -> bool:
        """Learn from an iteration's episodes, publish, write down; whether there is time for more."""
        config, began, self._since = self.recipe.train, self._since, math.inf  # nobody waits for episodes now
        self.clock.add(SANDBOXES, time.monotonic() - began)
        row = await self._one_iteration(rolled)
        self.folder.log(row)
        self.store.add_metrics(self.name, iteration, row)
        self.sinks.row(row)
        self.iteration += 1
        if self.iteration % config.checkpoint_every == 0:
            self._save()
            self._saved = self.iteration
        self.rollouts.begin(self.iteration)
        now = time.monotonic()
        self.minutes, self._since = self.minutes + (now - began) / 60, now
        for trouble in self.troubles.new(row):
            self.progress.log(trouble)
        self.progress.update(self.iteration, config.iterations, told(row))
        return not self._out_of_time()

    def _out_of_time(self) -> bool:
        most = self.recipe.train.max_minutes
        return most is not None and self.minutes >= most

    async def _one_iteration(self, rolled: Rolled) -> dict[str, Any]:
        """One turn of the loop; its row of metrics."""
        recipe, trajectories, seconds = self.recipe, rolled.trajectories, rolled.seconds
        self.clock.move(SANDBOXES, "roll out: the policy computes", seconds["sampling"])
        with self.clock.timed("learn", seconds, "learning"):
            steps = self.learner.optimizer_steps(len(trajectories))
            prompts = self.feed.prompts(recipe.ca.pairs_per_step * steps)
            update = await asyncio.to_thread(self.learner.step, trajectories, prompts)
            self.feed.learned(update.results)
            self.feed.left_out(update.left_out)
            self.store.add_lessons(update.lessons)
        with self.clock.timed("publish the weights", seconds, "weight_sync"):
            await self.player.publish(self.iteration + 1, self._weights())
        again = await asyncio.to_thread(drift, trajectories, self.policy.chat)
        if again.first:
            self.progress.log(f"warning: rendered again, a prompt is another: {again.first}")
        row = metrics_row(self.iteration, trajectories, rolled.before, update, self.feed, seconds, rolled.sandboxes)
        return row | again.row()

    async def _evaluate(self, when: str) -> dict[str, Measured]:
        """Kept in the run's folder, so that it is done once."""
        kept = self.folder.read(when)
        if kept is not None:
            return {kind: Measured.model_validate(found) for kind, found in kept.items()}
        played: list[Trajectory] = []
        with self.clock.timed("evaluate"):
            found = await self.evaluator.measure(
                f"Evaluating {when} training", f"{self.name}.{when}", self._scorer(), played.append
            )
        for trajectory in played:  # not as they are played: an evaluation that is interrupted is done over
            self.store.add(trajectory)
        self.folder.write(when, {kind: m.model_dump() for kind, m in found.items()})
        self.folder.write("clock", self.clock.seconds())
        return found

    def _save(self) -> None:
        self.folder.save(self.policy, self._state(), self._weights())
        self.folder.write("clock", self.clock.seconds())

    def _scorer(self) -> Scorer:
        """What is evaluated: where the policy is sharded, the engine's copy of it."""
        return Scorer(self.player.engine.model) if self.together else self.learner.policy

    def _weights(self) -> dict[str, Tensor] | None:
        """The policy's, where it is sharded and nobody else has them whole."""
        return self.learner.whole_weights() if self.together else None

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
        self.rollouts.begin(self.iteration)
        self.folder.forget_rows(self.iteration)
        self.player.engine.update_weights(self.iteration, self._weights())


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


def learner_of(recipe: Recipe, model: Any, reference: Any, ranks: Ranks) -> Learner:
    """What a recipe's policy learns by."""
    ca, longest = recipe.ca, recipe.rollout.max_context_tokens
    terms = [Term(GRPO(recipe.grpo, longest=longest), recipe.grpo.weight)]
    if ca.enabled:
        held = ca.weight == "auto"
        terms.append(
            Term(pair_objective(recipe), 1.0 if ca.weight == "auto" else ca.weight, ca.gradient_ratio if held else None)
        )
    heat = recipe.rollout.temperature
    return Learner(model, reference, recipe.learner, terms, temperature=heat, seed=recipe.seed, ranks=ranks)
