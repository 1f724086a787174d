from pathlib import Path

import pytest

from contextrl.config import Recipe
from contextrl.preflight import check, check_space
from contextrl.recipe_file import RecipeError, dump_recipe, keys, load_recipe

QUICKSTART = Path("recipes/quickstart.yaml")


def refused(*overrides: str, path: Path = QUICKSTART) -> str:
    with pytest.raises(RecipeError) as error:
        load_recipe(path, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("path", sorted(Path("recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_shipped_recipes_are_valid_and_survive_a_round_trip(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    again = tmp_path / "again.yaml"
    again.write_text(dump_recipe(recipe))
    assert load_recipe(again) == recipe


def test_the_8b_recipe_has_the_papers_hyper_parameters() -> None:
    recipe = load_recipe(Path("recipes/qwen3-8b-swegym.yaml"))
    assert recipe.policy == "Qwen/Qwen3-8B"
    assert (recipe.grpo.kl, recipe.learner.lr) == (1e-3, 2e-6)
    assert (recipe.rollout.group_size, recipe.rollout.max_turns, recipe.rollout.max_new_tokens) == (8, 35, 4096)
    assert (recipe.ca.weight, recipe.ca.clip, recipe.ca.low_side) == (0.001, 5.0, "clip")


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("train.itertions=3", "train.iterations"),
        ("rolout.group_size=4", "rollout"),
        ("lr=1", "learner.lr"),
        ("train.clip=3", "ca.clip"),
        ("repositories.1.bgs=3", "repositories.1.bugs"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(override: str, nearest: str) -> None:
    key = override.partition("=")[0]
    wrong = key if "rolout" not in key else "rolout"
    assert refused(override) == f"recipes/quickstart.yaml: unknown key `{wrong}`; did you mean `{nearest}`?"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("foo", "not an override"),
        ("rollout.group_size=1", "`rollout.group_size`: input should be greater than or equal to 2, but it is 1"),
        ("backend=podman", "'auto', 'docker', 'local' or 'remote'"),
        ("name.x=2", "`name` holds a value, not a section"),
        ("repositories.7.bugs=2", "a number from 0 to 1"),
        ("repositories=[]", "at least 1 item"),
        ("rollout.max_new_tokens=100000", "must be smaller than `rollout.max_context_tokens`"),
        ("name=../up", "`name`"),
        ("learner.lr=.inf", "finite number"),
        ("ca.stages=[]", "at least 1 item"),
        ("seed={", "the value is not YAML"),
        (".=3", "`.=3` is not an override"),
    ],
)
def test_a_bad_value_is_one_sentence(override: str, told: str) -> None:
    assert told in refused(override)


def test_overrides_are_yaml_and_reach_into_lists_and_missing_sections() -> None:
    recipe = load_recipe(
        QUICKSTART, ["grpo.kl=5e-4", "train.max_minutes=null", "repositories.1.bugs=7", "ca.stages=[file]"]
    )
    assert recipe.grpo.kl == 5e-4
    assert recipe.train.max_minutes is None
    assert recipe.repositories[1].bugs == 7
    assert recipe.ca.stages == ("file",)


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: a\nname: b\n")
    assert refused(path=path) == f"{path}: line 2: `name` is given twice"
    path.write_text("name: [")
    assert f"{path}: line 1" in refused(path=path)
    path.write_text("name: a\n[b]: 1\n")
    assert refused(path=path) == f"{path}: line 2: a key must be one word"
    path.write_text("- a")
    assert "a recipe is a mapping" in refused(path=path)
    path.write_text("name: a\n")
    assert refused(path=path) == f"{path}: `repositories` is missing"
    assert "no such recipe; there are" in refused(path=tmp_path / "q.yaml")


def test_every_key_is_described() -> None:
    def undescribed(model: type, prefix: str = "") -> list[str]:
        fields = model.model_fields.items()  # type: ignore[attr-defined]
        found = [prefix + name for name, info in fields if not info.description]
        for name, info in fields:
            if hasattr(info.annotation, "model_fields"):
                found += undescribed(info.annotation, f"{prefix}{name}.")
        return found

    assert undescribed(Recipe) == []
    assert {"train.iterations", "repositories.0.source", "ca.weight"} <= set(keys(Recipe))


def test_a_policy_is_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    def notes(policy: str) -> list[str]:
        return check(load_recipe(QUICKSTART, [f"policy={policy}"]))

    assert notes("tiny") == []
    assert "model hub" in notes("Qwen/Qwen3-8B")[0]
    with pytest.raises(RecipeError, match="no such folder"):
        notes(str(tmp_path / "nowhere"))
    with pytest.raises(RecipeError, match=r"no config\.json"):
        notes(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert notes(str(tmp_path)) == []


def test_sources_are_checked_before_anything_is_fetched() -> None:
    with pytest.raises(ValueError, match="no package"):
        check(load_recipe(QUICKSTART, ["repositories.0.source='pypi:a b'"]))
    assert "no task set" in check(load_recipe(QUICKSTART, ["repositories.0.source=tasks:nowhere"]))[0]


def test_too_little_space_is_told(tmp_path: Path) -> None:
    runs = f"runs={tmp_path / 'not' / 'there'}"
    check_space(load_recipe(QUICKSTART, [runs, "train.min_free_gb=0"]))
    with pytest.raises(RecipeError, match="make room"):
        check_space(load_recipe(QUICKSTART, [runs, "train.min_free_gb=1e9"]))


def test_the_store_is_a_file_a_url_or_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTEXTRL_STORE", raising=False)
    assert load_recipe(QUICKSTART).store_place == Path("runs/trajectories.db")
    monkeypatch.setenv("CONTEXTRL_STORE", "postgresql://me@db/all")
    assert load_recipe(QUICKSTART).store_place == "postgresql://me@db/all"
    assert load_recipe(QUICKSTART, ["store=/x/my.db"]).store_place == Path("/x/my.db")
    assert "PGPASSWORD" in refused("store=postgresql://me:secret@db/all")
    assert "secret" not in refused("store=postgresql://me:secret@db/all")
