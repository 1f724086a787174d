"""From trajectories and choice prompts to optimiser steps.

Invariant: one step minimises the weighted sum of its objectives, each normalised by itself; a step whose loss or
gradient is not finite changes nothing and is counted. The learner is blind to what the objectives are.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from contextrl.choice import ChoicePrompt, PairResult
from contextrl.config import LearnerConfig
from contextrl.interference import Interference
from contextrl.objectives.protocol import Objective, Terms
from contextrl.optimizing import checkpoint_layers, make_optimizer
from contextrl.ranks import Ranks, load_optimizer_state, optimizer_state, whole, whole_weights
from contextrl.scoring import Scorer
from trajectories.queries import Lesson
from trajectories.records import Trajectory

logger = logging.getLogger(__name__)
HELD = (1e-4, 10.0)
"""Bounds of a weight that holds a ratio: a term that is learned has hardly a gradient left."""


@dataclass(frozen=True)
class Term:
    """An objective and what its loss is multiplied by: 1 for GRPO, lambda for the context-awareness loss."""

    objective: Objective
    weight: float = 1.0
    ratio: float | None = None
    """Hold the norm of this term's weighted gradient at so much of the first term's; `weight` is where it begins."""


@dataclass(frozen=True)
class Update:
    """What one call of `Learner.step` did."""

    metrics: dict[str, float]
    """`grpo/loss`, `ca/margin`, `learner/grad_norm`, ...: means over the optimiser steps."""
    steps: list[dict[str, float]]
    """The same for each optimiser step. In the first, importance ratios and mismatch are those of unchanged weights."""
    results: list[PairResult] = field(default_factory=list)
    """What the policy chose on each prompt, before it learned from it."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Trajectory id -> why nothing was learned from it."""
    lessons: list[Lesson] = field(default_factory=list)
    """What was made of each trajectory the first time that it was learned from. Then its log-probabilities are those of
    the weights that sampled it but for the optimiser steps before, of the same iteration."""


@dataclass(frozen=True)
class _Made:
    """What objectives said on the way."""

    results: list[PairResult] = field(default_factory=list)
    lessons: dict[str, Lesson] = field(default_factory=dict)


class Learner:
    """Owns the optimiser; the model's weights stay where they are, so an engine in the same process sees them."""

    def __init__(
        self,
        model: nn.Module,
        reference: nn.Module | Scorer | None,
        config: LearnerConfig,
        terms: Sequence[Term],
        *,
        temperature: float = 1.0,
        seed: int = 0,
        ranks: Ranks | None = None,
    ) -> None:
        """`temperature`: that of the rollouts. Dropout stays off, or the importance ratio would be noise."""
        autocast = config.precision == "bfloat16"
        self.policy = Scorer(model.eval(), autocast=autocast, temperature=temperature)
        self.reference = reference if isinstance(reference, Scorer) else None
        if isinstance(reference, nn.Module):
            self.reference = Scorer(reference.eval(), autocast=autocast, temperature=temperature)
        self.ranks = ranks or Ranks()
        if config.gradient_checkpointing:
            checkpoint_layers(model)
        self.ranks.shard(self.policy.root)
        if self.reference is not None:
            self.ranks.shard(self.reference.root)
        self.config, self.terms = config, [t for t in terms if t.weight]
        self.optimizer = make_optimizer(model, config)
        self.steps_done = self.steps_skipped = 0
        self.weights = {t.objective.name: t.weight for t in self.terms}
        """What each term is multiplied by now."""
        self._rng = random.Random(seed)

    def optimizer_steps(self, trajectories: int) -> int:
        """How many optimiser steps `step` takes for this many trajectories: what pairs should be drawn for."""
        minibatches = max(1, math.ceil(trajectories / self.config.minibatch_trajectories))
        return self.config.steps_per_iteration * minibatches

    def begin_anew(self) -> None:
        """Forget the optimiser's moments and its warm-up, as a learner does that is given these weights."""
        self.optimizer = make_optimizer(self.policy.model, self.config)
        self.steps_done = 0

    def step(
        self, trajectories: Sequence[Trajectory], pairs: Sequence[ChoicePrompt], *, steps: int | None = None
    ) -> Update:
        """Learn from an iteration's data: passes over the trajectories in minibatches, the pairs dealt out once.

        `steps`: optimiser steps, for pairs alone; by default as many as the trajectories ask for.
        """
        feeds: dict[str, Sequence[Any]] = {"trajectories": trajectories, "pairs": pairs}
        prepared: dict[str, Sequence[Any]] = {}
        # Layers recompute in training mode only, and an engine that samples with this model has left that.
        self.policy.model.train(self.config.gradient_checkpointing)
        counts: dict[str, float] = {}
        left_out: dict[str, str] = {}
        for term in self.terms:
            o = term.objective
            ready = o.prepare(feeds[o.feed], self.policy, self.reference, self.config.microbatch_tokens)
            prepared[o.name] = ready.items
            counts |= {f"{o.name}/{key}": value for key, value in ready.metrics.items()}
            left_out |= ready.left_out
        skipped = self.steps_skipped
        made = _Made()
        plans = self._plan(prepared, steps or self.optimizer_steps(len(trajectories)))
        done = [self._optimise(plan, made) for plan in plans]
        counts |= {"learner/steps": len(done), "learner/skipped": self.steps_skipped - skipped}
        return Update(_mean(done) | counts, done, made.results, left_out, list(made.lessons.values()))

    def state_dict(self) -> dict[str, Any]:
        """For `torch.save`: optimiser, counters, random state. The model's weights are saved by their owner."""
        many = self.ranks.size > 1
        return {
            "optimizer": optimizer_state(self.policy.root, self.optimizer) if many else self.optimizer.state_dict(),
            "ranks": self.ranks.size,
            "steps_done": self.steps_done,
            "steps_skipped": self.steps_skipped,
            "weights": self.weights,
            "rng": self._rng.getstate(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a learner with the same model, configuration and number of ranks.

        Raises `ValueError` where that is another.
        """
        if state["ranks"] != self.ranks.size:
            raise ValueError(
                f"the checkpoint was written by {state['ranks']} processes and this run has {self.ranks.size}: "
                f"go on with torchrun --nproc-per-node {state['ranks']}"
            )
        if self.ranks.size > 1:
            load_optimizer_state(self.policy.root, self.optimizer, state["optimizer"], self.ranks)
        else:
            self.optimizer.load_state_dict(state["optimizer"])
        self.steps_done, self.steps_skipped = state["steps_done"], state["steps_skipped"]
        self.weights = dict(state["weights"])
        self._rng.setstate(state["rng"])

    def whole_weights(self) -> dict[str, torch.Tensor]:
        """All weights, by name; on rank 0."""
        return whole_weights(self.policy.root)

    def _plan(self, prepared: Mapping[str, Sequence[Any]], steps: int) -> list[dict[str, list[Any]]]:
        """What each optimiser step learns from: trajectories once in every pass, pairs once in all, in random order."""
        plan: list[dict[str, list[Any]]] = [{} for _ in range(steps)]
        for term in self.terms:
            name = term.objective.name
            passes = min(self.config.steps_per_iteration, steps) if term.objective.feed == "trajectories" else 1
            share = steps // passes
            for start in range(0, steps, share):
                items = list(prepared[name])
                self._rng.shuffle(items)
                for k in range(share):
                    plan[start + k][name] = items[k::share]
        return plan

    def _optimise(self, plan: Mapping[str, list[Any]], made: _Made) -> dict[str, float]:
        """One optimiser step."""
        self.optimizer.zero_grad()
        metrics: dict[str, float] = {}
        every = self.config.probe_every
        apart = Interference(self._parameters()) if every and self.steps_done % every == 0 else None
        for term in self.terms:
            if not self._accumulate(term, plan, metrics, made):
                return metrics | self._skip(f"the {term.objective.name} loss is not finite")
            if apart:
                apart.take(term.objective.name)
        if apart:
            metrics |= apart.put_back()
            self._balance(metrics)
        parameters = [p for p in self._parameters() if p.grad is not None]
        if not parameters:
            return metrics
        norm = float(whole(nn.utils.clip_grad_norm_(parameters, self.config.grad_clip)))
        if not math.isfinite(norm):
            return metrics | self._skip("the gradient is not finite")
        rate = self.config.lr * min(1.0, (self.steps_done + 1) / max(1, self.config.warmup_steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.steps_done += 1
        weights = {f"{name}/weight": weight for name, weight in self.weights.items()}
        return metrics | weights | {"learner/grad_norm": norm, "learner/learning_rate": rate}

    def _accumulate(self, term: Term, plan: Mapping[str, list[Any]], metrics: dict[str, float], made: _Made) -> bool:
        """Add one term's gradient; False, on all ranks, if a loss is not finite. Each rank has its micro-batches."""
        objective, said = term.objective, list[tuple[int, float, Terms]]()
        most, weight = self.config.microbatch_tokens, self.weights[objective.name]
        batches = list(objective.batches(plan[objective.name], most, self.policy.device))
        for first in range(0, len(batches), self.ranks.size):
            index = first + self.ranks.rank
            # A rank without one of its own computes another's for nothing: every pass is a collective.
            terms = objective.loss(self.policy, batches[min(index, len(batches) - 1)])
            share = weight if index < len(batches) else 0.0
            (share * terms.loss).backward()  # type: ignore[no-untyped-call]
            if index < len(batches):
                said.append((index, float(terms.loss.detach()), replace(terms, loss=torch.zeros(()))))
        everything = sorted((one for rank in self.ranks.gather(said) for one in rank), key=lambda one: one[0])
        if not all(math.isfinite(loss) for _, loss, _ in everything):
            return False
        for _, loss, terms in everything:
            made.results.extend(terms.results)
            for lesson in terms.lessons:
                made.lessons.setdefault(lesson.trajectory_id, lesson)
            for key, value in {"loss": loss, **terms.metrics}.items():
                name = f"{objective.name}/{key}"
                metrics[name] = metrics.get(name, 0.0) + value
        return True

    def _skip(self, why: str) -> dict[str, float]:
        self.optimizer.zero_grad()
        self.steps_skipped += 1
        logger.warning("optimiser step skipped: %s (%d so far)", why, self.steps_skipped)
        return {}

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _balance(self, measured: Mapping[str, float]) -> None:
        """Set the weights that hold a ratio, for the steps to come."""
        first = self.terms[0].objective.name
        for term in self.terms[1:]:
            name = term.objective.name
            norms = measured[f"{first}/grad_norm"], measured[f"{name}/grad_norm"]
            if term.ratio is not None and all(math.isfinite(norm) and norm > 0 for norm in norms):
                # Half of the way, as powers: one step's gradients are noisy.
                weight = self.weights[name] * math.sqrt(term.ratio * norms[0] / norms[1])
                self.weights[name] = min(max(weight, HELD[0]), HELD[1])


def _mean(steps: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each metric over the steps that have it."""
    values: dict[str, list[float]] = {}
    for step in steps:
        for key, value in step.items():
            values.setdefault(key, []).append(value)
    return {key: sum(v) / len(v) for key, v in values.items()}
