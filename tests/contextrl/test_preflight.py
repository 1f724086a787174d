"""A run that would measure nothing is told so before it trains."""

from typing import Any

import pytest

from contextrl.config import Recipe
from contextrl.preflight import check_heldout
from contextrl.recipe_file import RecipeError
from contextrl.world import GENERATED, REAL, Ground, World
from envs.task import TaskInstance


def world(**splits: str) -> World:
    """Kind of repository -> the split of its one held-out task; empty: it has none."""
    kinds = {"generated": GENERATED, "real": REAL}

    def task(split: str) -> TaskInstance:
        return TaskInstance(
            instance_id="t", repo="r", base_commit="c", problem_statement="", patch="", FAIL_TO_PASS=("a",),
            PASS_TO_PASS=("b",), split=split,
        )  # fmt: skip

    held = {kind: (task(split),) if split else () for kind, split in splits.items()}
    return World(tuple(Ground(kinds[kind], 1.0, 0, (task("train"),), found) for kind, found in held.items()), {})


def recipe(**evaluation: Any) -> Recipe:
    return Recipe.model_validate(
        {"name": "r", "repositories": [{"source": "generated:seed=0"}], "evaluation": evaluation}
    )


def test_nothing_held_out_is_refused():
    with pytest.raises(RecipeError, match=r"evaluation\.tasks=60, but no task is held out.*evaluation\.tasks=0"):
        check_heldout(recipe(), world(generated="", real=""))
    with pytest.raises(RecipeError, match="no task is held out"):
        check_heldout(recipe(mutation_tasks=0), world(real="heldout_mutation"))
    assert check_heldout(recipe(tasks=0), world(generated="", real="")) == []


def test_a_kind_without_held_out_functions_is_named():
    assert check_heldout(recipe(), world(generated="heldout_function", real="heldout_function")) == []
    for split in ("", "heldout_mutation"):
        (note,) = check_heldout(recipe(), world(generated="heldout_function", real=split))
        assert note.startswith("real package: no task in a held-out function")
