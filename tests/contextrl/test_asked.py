"""What `contextrl train` is asked for; a run that branches off another."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from learning_toys import pair

from contextrl.asked import asked_for
from contextrl.branching import branch, find_checkpoint
from contextrl.config import ContextConfig, Recipe
from contextrl.curriculum import PairSampler
from contextrl.recipe_file import RecipeError
from trajectories.records import Trajectory
from trajectories.store import SQLStore


def recipe(runs: Path, **more: Any) -> Recipe:
    told = {"name": "r", "runs": str(runs), "repositories": [{"source": "generated:seed=0,modules=2"}], **more}
    return Recipe.model_validate(told)


def trained(runs: Path) -> Path:
    """A run that stands at iteration 4, with a checkpoint of iteration 2, and two pairs that both know."""
    config = recipe(runs)
    folder = config.run_dir
    with SQLStore(config.store_place) as store:
        label = store.claim_run("r")
        pairs = [pair(f"p{i}", answer=f"{i}").model_copy(update={"run": label, "judgement": "valid"}) for i in range(2)]
        store.add_pairs(pairs)
        store.add(Trajectory(instance_id="i", repo="r", base_commit="c", problem_statement="x", run=label))
        store.release_run(label)
    sampler = PairSampler(ContextConfig())
    sampler.add(pairs)
    sampler.draw(1)
    for number, where in ((4, folder / "checkpoint"), (2, folder / "checkpoints" / "2")):
        where.mkdir(parents=True)
        state = {"iteration": number, "feed": {"sampler": sampler.state_dict(), "miner": {"labels": []}}}
        torch.save(state, where / "state.pt")
        (where / "iteration").write_text(str(number))
    (folder / "recipe.json").write_text(config.model_dump_json())
    (folder / "run.json").write_text(json.dumps({"label": label}))
    (folder / "before.json").write_text("{}")
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"iteration": i}) + "\n" for i in range(4)))
    return folder


def ask(runs: Path, recipe: str = "", *overrides: str, **options: Any) -> Any:
    given = {"resume": "", "fork": "", "step": None, "fresh": False, **options}
    return asked_for(recipe, overrides, runs=runs, **given)


@pytest.mark.parametrize(
    ("words", "options", "why"),
    [
        ((), {}, "name a recipe"),
        (("x.yaml",), {"step": 2}, "--from goes with --fork"),
        ((), {"resume": "r", "fork": "r"}, "not both"),
        ((), {"resume": "r", "fresh": True}, "--fresh starts a run over"),
        ((), {"resume": "r", "step": 3}, "--resume goes on from the last"),
        (("x.yaml",), {"resume": "r"}, "leave x.yaml out"),
        ((), {"resume": "nope"}, "nope is no run; there are r"),
        ((), {"fork": "r"}, "add name=r-2"),
        (("seed=x",), {"resume": "r"}, "`seed`"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, words, options, why):
    trained(tmp_path)
    with pytest.raises(RecipeError, match=why):
        ask(tmp_path, *words, **options)


def test_a_run_goes_on_with_its_own_recipe(tmp_path):
    folder = trained(tmp_path)
    found = ask(tmp_path, "train.iterations=7", resume="r")
    assert found.source is None and found.recipe == recipe(tmp_path, train={"iterations": 7})
    moved = folder.rename(tmp_path / "elsewhere")
    assert ask(tmp_path / "no", resume=str(moved)).recipe.run_dir == moved


def test_a_fork_begins_where_the_checkpoint_stands(tmp_path):
    source = trained(tmp_path)
    asked = ask(tmp_path, "name=other", "learner.lr=0.1", fork="r", step=2)
    branch(asked.source, 2, asked.recipe)
    folder = tmp_path / "other"
    state = torch.load(folder / "checkpoint" / "state.pt", weights_only=True)
    with SQLStore(asked.recipe.store_place) as store:
        copies = store.pairs(run="other", judgement="valid")
        assert [p.answer for p in copies] == ["0", "1"] and {p.id for p in copies}.isdisjoint({"p0", "p1"})
        assert set(state["feed"]["sampler"]["entries"]) == {p.id for p in copies}
        assert state["iteration"] == 2 and [row["iteration"] for row in store.metrics("other")] == [0, 1]
        assert store.count_pairs(run="r") == 2
    sampler = PairSampler(ContextConfig())
    sampler.load_state_dict(state["feed"]["sampler"], copies)
    assert sorted(uses for _, uses in sampler.state_dict()["entries"].values()) == [0, 1]
    assert json.loads((folder / "run.json").read_text()) == {
        "label": "other",
        "branched_from": {"run": "r", "iteration": 2},
    }
    assert json.loads((folder / "recipe.json").read_text())["learner"]["lr"] == 0.1
    assert (folder / "before.json").exists() and not (folder / "report.json").exists()
    assert find_checkpoint(source, None) == source / "checkpoint"
    with pytest.raises(RecipeError, match="no checkpoint of iteration 3: it keeps those of 2, 4"):
        branch(source, 3, recipe(tmp_path, name="third"))
    with pytest.raises(RecipeError, match="there already"):
        branch(source, 2, asked.recipe)
    other_seed = recipe(tmp_path, name="seeded", seed=5)
    branch(source, None, other_seed)
    assert not (tmp_path / "seeded" / "before.json").exists(), "what was measured before is not of this seed"
