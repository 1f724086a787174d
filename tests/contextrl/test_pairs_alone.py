"""Optimiser steps on pairs alone: how many, on what, and what follows."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from test_feed import begun, solved

from contextrl.choice import ChoicePrompt, PairResult
from contextrl.config import Recipe
from contextrl.learner import Update
from contextrl.pairs_first import PairsFirst
from contextrl.recipe_file import RecipeError, load_recipe
from trajectories.store import SQLStore

QUICKSTART = Path("recipes/quickstart.yaml")


def told(*overrides: str) -> Recipe:
    return load_recipe(QUICKSTART, overrides)


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        ((), 0),
        (("ca.before=7",), 7),
        (("ca.before=7", "ca.enabled=false"), 0),
        (("ca.before=auto",), 28 * 9),  # 36 episodes in minibatches of 4
        (("ca.before=auto", "learner.steps_per_iteration=2", "learner.minibatch_trajectories=35"), 28 * 2 * 2),
        (("ca.before=auto", "train.iterations=0"), 0),
    ],
)
def test_how_many(overrides: tuple[str, ...], steps: int) -> None:
    assert told(*overrides).steps_before == steps


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("ca.during=false",), "needs `ca.before` above 0"),
        (("ca.before=3", "repositories.0.expert_episodes=0"), "`expert_episodes`"),
        (("ca.before=-1",), "greater than or equal to 0"),
        (("ca.objective=contrastive",), "'contrast', 'imitation', 'reinforce' or 'language'"),
    ],
)
def test_what_has_no_effect_is_refused(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(RecipeError) as error:
        told(*overrides)
    assert said in str(error.value)
    assert told("ca.during=false", "ca.enabled=false").ca.during is False, "arms turn the term off in any recipe"


class Feed:
    """Gives as many prompts as asked for, while there are any."""

    def __init__(self, left: int) -> None:
        self.left, self.iteration, self.asked, self.results = left, 0, list[tuple[int, int]](), list[PairResult]()
        self.mined, self.frontier, self.accuracy, self.too_long = 9, 1, {"level 0": 0.5}, 0

    def prompts(self, count: int) -> list[ChoicePrompt]:
        self.asked.append((self.iteration, count))
        given, self.left = min(count, self.left), max(0, self.left - count)
        return [ChoicePrompt(f"p{i}", (1, 2), 3, 4, True) for i in range(given)]

    def learned(self, results: Any) -> None:
        self.results += results


class Learner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def optimizer_steps(self, episodes: int) -> int:
        return episodes // 4

    def step(self, trajectories: Any, prompts: Any, *, steps: int) -> Update:
        self.calls.append((len(trajectories), len(prompts), steps))
        return Update({"ca/loss": 0.7, "grpo/groups_without_variance": 0.0}, [], [PairResult("p0", True, 1.0)])

    def begin_anew(self) -> None:
        self.calls.append("anew")


def test_one_step_each_then_a_new_beginning() -> None:
    feed, learner = Feed(100), Learner()
    first = PairsFirst(told("ca.before=3", "train.checkpoint_every=5"), feed, learner)
    rows = [asyncio.run(first.step(i)) for i in (-3, -2, -1)]
    assert feed.asked == [(-3, 16), (-2, 16), (-1, 16)] and len(feed.results) == 3
    assert learner.calls == [(0, 16, 1), (0, 16, 1), (0, 16, 1), "anew"]
    assert [row["iteration"] for row in rows] == [-3, -2, -1] and rows[0]["loss_ca"] == 0.7
    assert "resolve_rate" not in rows[0] and "groups_without_variance" not in rows[0], "nothing was played"
    assert first.checkpoint_every == 5 * 9


def test_without_pairs_it_says_what_to_do() -> None:
    with pytest.raises(RecipeError, match=r"ca.before=3: .* raise `expert_episodes`"):
        asyncio.run(PairsFirst(told("ca.before=3"), Feed(0), Learner()).step(-3))


def test_the_term_may_end_with_them(tmp_path: Path) -> None:
    with SQLStore(tmp_path / "store.db") as store:
        feed = begun(store, during=False)
        for name, shown, right in (("one", "+", "-"), ("two", "-", "+")):
            feed.keep(solved(name, shown, right, 0))
        feed.iteration = -1
        alone = feed.prompts(2)
        assert len(alone) == 2 and feed.too_long == 0 and len({p.seed for p in alone}) == 2
        feed.iteration = 0
        assert feed.prompts(2) == [] and feed.too_long is None
