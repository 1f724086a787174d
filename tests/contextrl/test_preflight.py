"""A run that would measure nothing is told so before it trains."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contextrl.config import Recipe
from contextrl.preflight import check, check_heldout, check_network
from contextrl.recipe_file import RecipeError
from contextrl.world import GENERATED, REAL, Ground, World, build_world
from envs.task import TaskInstance
from envs.tasksets import save_taskset


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


def asking(network: bool) -> TaskInstance:
    return TaskInstance(
        instance_id=f"shop-{int(network)}", repo="r", base_commit="c", problem_statement="", patch="",
        FAIL_TO_PASS=("a",), PASS_TO_PASS=("b",), network=network,
    )  # fmt: skip


@pytest.mark.parametrize("allowed", [False, True])
def test_a_task_that_wants_the_network_needs_the_recipes_leave(tmp_path: Path, allowed: bool):
    save_taskset([asking(False), asking(True)], tmp_path / "tasks")
    data = {"name": "r", "repositories": [{"source": f"tasks:{tmp_path}/tasks"}], "sandbox": {"allow_network": allowed}}
    wanting = Recipe.model_validate(data)
    if allowed:
        assert check(wanting) == []
        return
    with pytest.raises(
        RecipeError, match=r"1 of 2 tasks want the network \(first shop-1\): allow it with sandbox\.allow"
    ):
        check(wanting)
    with pytest.raises(RecipeError, match="1 of 2 tasks want the network"):
        asyncio.run(build_world(wanting, None, None))  # type: ignore[arg-type] (neither is reached)


def test_a_set_of_published_images_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path))
    task = asking(False).model_copy(update={"image": "them/shop:1", "eval_script": "pytest -rA\n"})
    save_taskset([task], tmp_path / "tasksets" / "theirs")
    source = {"source": "tasks:theirs"}
    data = Recipe.model_validate({"name": "r", "repositories": [source]})
    assert check(data) == []
    world = asyncio.run(build_world(data, None, SimpleNamespace(log=print)))  # type: ignore[arg-type]
    assert [t.instance_id for t in world.grounds[0].train] == [task.instance_id] and world.profiles == {}
    data = Recipe.model_validate({"name": "r", "repositories": [{**source, "expert_episodes": 3}]})
    with pytest.raises(RecipeError, match="published images: set expert_episodes to 0"):
        asyncio.run(build_world(data, None, SimpleNamespace(log=print)))  # type: ignore[arg-type]


def test_the_network_is_closed_unless_a_task_and_the_recipe_say_otherwise():
    assert not recipe().sandbox.allow_network
    assert not TaskInstance.model_fields["network"].default
    check_network(recipe(), "source", [asking(False)])
