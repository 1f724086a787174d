"""Arms, plans, what runs say together, and how they are told."""

import json
import xml.etree.ElementTree as ElementTree
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from contextrl.cli import app
from contextrl.config import Recipe
from contextrl.evaluation import Measured, comparison
from contextrl.recipe_file import RecipeError
from contextrl.report import ReportError
from contextrl.study.arms import ARMS
from contextrl.study.figure import figure
from contextrl.study.page import difference, render, summary, write_study
from contextrl.study.plan import Plan, planned
from contextrl.study.playing import play
from contextrl.study.results import results
from contextrl.study.sharing import share_before

QUICKSTART = Path("recipes/quickstart.yaml")


def plan(folder: Path, *overrides: str, **options: Any) -> Plan:
    options.setdefault("arms", "grpo,contextrl")
    options.setdefault("seeds", "2")
    return planned(QUICKSTART, [f"runs={folder}", *overrides], **options)


def refused(*overrides: str, **options: Any) -> str:
    with pytest.raises(RecipeError) as error:
        plan(Path("runs"), *overrides, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_runs_of_a_seed_differ_in_what_their_arms_override_alone(tmp_path: Path) -> None:
    made = plan(tmp_path, "learner.lr=1e-4", arms=",".join(ARMS), seeds="0,3")
    assert [(r.arm, r.seed) for r in made.runs] == [(arm, seed) for seed in (0, 3) for arm in ARMS]
    for run in made.runs:
        told = run.recipe.model_dump(mode="json")
        assert told["name"] == f"quickstart-{run.arm}-{run.seed}" and told["seed"] == run.seed
        assert told["learner"]["lr"] == 1e-4 and told["train"]["max_minutes"] is None
        same = {key: value for key, value in told.items() if key not in ("name", "ca")}
        if run.arm != "base":
            first = next(r for r in made.runs if r.seed == run.seed and r.arm == "grpo").recipe.model_dump(mode="json")
            assert same == {key: first[key] for key in same}
    by_arm = {run.arm: run.recipe for run in made.runs}
    assert by_arm["base"].train.iterations == 0 and not by_arm["grpo"].ca.enabled
    assert by_arm["da-sft"].steps_before == 28 * 9, "as many steps as the iterations take"
    assert by_arm["da-rl"].ca.objective == "reinforce" and by_arm["contextrl-linear"].ca.low_side == "linear"
    assert made.reference == "grpo" and made.folder == tmp_path / "quickstart-study"


def test_arms_are_what_they_are_in_any_recipe(tmp_path: Path) -> None:
    plain = plan(tmp_path, "ca.enabled=false", "ca.low_side=linear", arms=",".join(ARMS), seeds="1")
    enabled = {run.arm for run in plain.runs if run.recipe.ca.enabled}
    assert enabled == set(ARMS) - {"base", "grpo"}
    assert plain.runs[4].arm == "contextrl" and plain.runs[4].recipe.ca.low_side == "clip"


def test_arms_of_ones_own_and_what_a_seed_may_stand_for(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        "study.own={half: [ca.weight=0.5]}",
        "study.every=['repositories.0.source=generated:seed={seed},modules=9']",
        arms="half",
        seeds="4,",
        own=["slow learner.lr=1e-5 'ca.stages=[function]'"],
    )
    assert [(r.arm, r.seed) for r in made.runs] == [("half", 4), ("slow", 4)]
    assert made.runs[0].recipe.ca.weight == 0.5 and made.runs[1].recipe.ca.stages == ("function",)
    assert made.runs[0].recipe.repositories[0].source == "generated:seed=4,modules=9"
    assert made.reference == "half" and made.runs[0].recipe.study.own == {}


@pytest.mark.parametrize(
    ("overrides", "options", "told"),
    [
        ((), {"arms": "grpo,grpoo"}, "there is no arm 'grpoo'; there are base, grpo,"),
        ((), {"arms": "grpo,grpo"}, "arm 'grpo' is named twice"),
        ((), {"own": ["a/b ca.weight=1"]}, "a name has letters"),
        ((), {"own": ["a ca.wieght=1"]}, "arm a: recipes/quickstart.yaml: unknown key `ca.wieght`"),
        ((), {"own": ["a 'ca.weight=1"]}, "write NAME key=value"),
        ((), {"own": ["a seed=3"]}, "arm a: `seed` is the same in all arms"),
        (("seed=3",), {}, "a study sets the seeds"),
        ((), {"seeds": "0,0"}, "none twice"),
        ((), {"seeds": "0"}, "at least one"),
        ((), {"seeds": "x"}, "give how many"),
        (
            ("repositories.0.expert_episodes=0",),
            {"arms": "da-sft"},
            "arm da-sft: recipes/quickstart.yaml: `ca.before` needs pairs",
        ),
        ((), {"own": ["a ca.during=false"]}, "arm a: recipes/quickstart.yaml: `ca.during: false` needs `ca.before`"),
    ],
)
def test_bad_input_is_one_sentence(overrides: tuple[str, ...], options: dict[str, Any], told: str) -> None:
    assert told in refused(*overrides, **options)


def test_the_papers_recipe_has_its_arms() -> None:
    made = planned(Path("recipes/qwen3-8b-swegym.yaml"), arms="base,grpo,da-rl,contextrl,language", seeds="1")
    assert len(made.runs) == 5


def measured(rates: dict[str, float], chosen: dict[str, float]) -> dict[str, Any]:
    functions = {key: f"r::{key[:2]}" for key in (*rates, *chosen)}
    return {"generated": Measured(resolved=rates, selected=chosen, functions=functions).model_dump()}


def finish(made: Plan, arm: str, seed: int, rate: int, right: int) -> dict[str, Any]:
    """A run's folder, as the run leaves it: 3 of 10 tasks are resolved before and `rate` after; 5 and `right` pairs."""
    run = next(r for r in made.runs if (r.arm, r.seed) == (arm, seed))
    folder = run.recipe.run_dir
    folder.mkdir(parents=True, exist_ok=True)
    before = measured({f"t{i}": float(i < 3) for i in range(10)}, {f"p{i}": float(i < 5) for i in range(10)})
    after = measured({f"t{i}": float(i < rate) for i in range(10)}, {f"p{i}": float(i < right) for i in range(10)})
    both = (Measured.model_validate(m["generated"]) for m in (before, after))
    report = {"name": run.recipe.name, **comparison(*both, 0.95), "wall_seconds": 60.0 + seed, "pairs_mined": 7}
    report |= {"time_split": {"prepare": 9.0, "evaluate": 11.0, "learn": 30.0, "other": 10.0 + seed}}
    report |= {"iterations": 2, "training": {"tokens": 1000, "sandbox_seconds": 12.5}}
    for name, content in (("before", before), ("after", after), ("report", report), ("run", {"label": "x"})):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "recipe.json").write_text(run.recipe.model_dump_json())
    return report


def finished(folder: Path) -> tuple[Plan, dict[tuple[str, int], dict[str, Any]]]:
    made = plan(folder, arms="grpo,contextrl,language", seeds="3")
    rates = {("grpo", 0): (6, 5), ("grpo", 1): (7, 5), ("grpo", 2): (8, 4), ("contextrl", 0): (8, 9)}
    rates[("contextrl", 2)] = (9, 10)
    return made, {(arm, seed): finish(made, arm, seed, *what) for (arm, seed), what in rates.items()}


def test_the_numbers_are_those_of_the_runs(tmp_path: Path) -> None:
    made, reports = finished(tmp_path)
    found = results(made)
    assert list(found["groups"]) == ["generated"]
    arms = found["groups"]["generated"]
    assert list(arms) == ["base", "grpo", "contextrl"]
    for (arm, seed), report in reports.items():
        for measure in ("resolve_rate", "selection_accuracy"):
            assert arms[arm]["seeds"][seed][measure] == pytest.approx(report[f"{measure}_after"])
            assert arms["base"]["seeds"][seed][measure] == pytest.approx(report[f"{measure}_before"])
    assert arms["grpo"]["resolve_rate"] == pytest.approx(0.7) and arms["grpo"]["tasks"] == 30
    low, high = arms["grpo"]["resolve_rate_interval"]
    assert 0.3 < low < 0.7 < high < 1.0
    assert "resolve_rate_difference" not in arms["grpo"]
    assert arms["contextrl"]["resolve_rate_difference"] == pytest.approx((0.2 + 0.1) / 2), "of seeds that both have"
    assert arms["contextrl"]["selection_accuracy_difference"] == pytest.approx((0.4 + 0.6) / 2)
    assert arms["contextrl"]["selection_accuracy_difference_interval"][0] > 0
    assert arms["base"]["resolve_rate_difference"] == pytest.approx(0.3 - 0.7)
    about = found["arms"]["contextrl"]
    assert about["finished"] == [0, 2] and about["missing"] == [1] and about["wall_seconds"] == 61.0
    assert about["training_seconds"] == 41.0
    assert about["tokens"] == 1000 and about["sandbox_seconds"] == 12.5
    assert found["arms"]["language"]["missing"] == [0, 1, 2]


def test_pairing_leaves_out_what_is_the_same_in_both_arms(tmp_path: Path) -> None:
    """Seeds that differ widely, arms that differ by one task in each: the difference is sure, the means are not."""
    made = plan(tmp_path, seeds="4")
    for seed, rate in enumerate((1, 4, 7, 9)):
        finish(made, "grpo", seed, rate, 5)
        finish(made, "contextrl", seed, rate + 1, 5)
    row = results(made)["groups"]["generated"]["contextrl"]
    low, high = row["resolve_rate_interval"]
    sure_low, sure_high = row["resolve_rate_difference_interval"]
    assert high - low > 0.4 and row["resolve_rate_difference"] == pytest.approx(0.1)
    assert sure_low > 0 and sure_high - sure_low < 0.25
    assert row["selection_accuracy_difference_interval"] == [0.0, 0.0]


def test_a_seed_that_the_reference_lacks_is_in_the_mean_and_in_no_difference(tmp_path: Path) -> None:
    made = plan(tmp_path)
    finish(made, "grpo", 0, 5, 5)
    finish(made, "contextrl", 0, 6, 5)
    finish(made, "contextrl", 1, 10, 5)
    row = results(made)["groups"]["generated"]["contextrl"]
    assert row["resolve_rate"] == pytest.approx(0.8) and row["resolve_rate_difference"] == pytest.approx(0.1)


def test_the_files(tmp_path: Path) -> None:
    made, _ = finished(tmp_path)
    found = results(made)
    write_study(made.folder, found)
    assert json.loads((made.folder / "study.json").read_text())["groups"]["generated"]["grpo"]["seeds"]["1"] == {
        "resolve_rate": 0.7,
        "selection_accuracy": 0.5,
    }
    page = (made.folder / "study.html").read_text()
    assert "http" not in page and "+15.0" in page and "ca.objective=language" in page
    assert "language: not finished for seed 0, 1, 2." in page
    drawing = ElementTree.fromstring((made.folder / "figure5.svg").read_text())
    space = "{http://www.w3.org/2000/svg}"
    said = [title.text for title in drawing.iter(f"{space}title")]
    assert "grpo, seed 2: selects 40.0%, resolves 80.0%" in said and "base: selects 50.0%, resolves 30.0%" in said
    assert len(list(drawing.iter(f"{space}circle"))) == 3 + (3 + 3 + 2) + 3, "arms, seeds, keys"
    console = Console(width=200, file=StringIO())
    console.print(summary(found, made.folder))
    told = console.file.getvalue()
    assert "study.html" in told and "+15.0 " in told


def test_names_cannot_break_the_page() -> None:
    row = {"resolve_rate": 0.5, "resolve_rate_interval": [0.4, 0.6], "seeds": {}}
    row |= {"selection_accuracy": 0.5, "selection_accuracy_interval": [0.5, 0.5], "tasks": 1, "pairs": 1}
    drawing = figure({"<b>": row}, "<i>")
    assert "<b>" not in drawing and "<i>" not in drawing
    ElementTree.fromstring(drawing)
    assert figure({"a": {**row, "selection_accuracy": None}}, "x") == ""
    assert difference(row, "resolve_rate") == ""
    study = {"name": "<i>", "arms": {"<b>": {"overrides": [], "finished": [0], "missing": []}}, "seeds": [0]}
    study |= {"groups": {"all": {"<b>": row}}, "reference": "<b>", "confidence": 0.95, "created_at": ""}
    assert "<b>" not in render(study, drawing)


def test_a_run_that_was_told_something_else_is_refused(tmp_path: Path) -> None:
    made = plan(tmp_path)
    finish(made, "grpo", 0, 5, 5)
    assert plan(tmp_path, "train.checkpoint_every=3").runs, "what changes nothing may change"
    for override, named in (("learner.lr=1", "`learner`"), ("train.iterations=3", "`train.iterations`")):
        with pytest.raises(RecipeError, match=f"told something else .{named} differ.*delete that folder"):
            plan(tmp_path, override)


class Told:
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.lines: list[str] = []

    def stage(self, name: str) -> None:
        self.stages.append(name)

    def update(self, done: int, total: int | None = None, text: str = "") -> None:
        pass

    def log(self, text: str) -> None:
        self.lines.append(text)


def test_what_is_finished_is_skipped_and_a_failure_keeps_no_other_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, progress, played = plan(tmp_path), Told(), list[str]()
    finish(made, "grpo", 0, 5, 5)

    def train(recipe: Any, *, progress: Any) -> None:
        progress.stage("Training")
        played.append(recipe.name)
        if recipe.name == "quickstart-contextrl-0":
            raise ValueError("no\nroom")
        arm, seed = recipe.name.split("-")[1:]
        finish(made, arm, int(seed), 6, 6)

    monkeypatch.setattr("contextrl.loop.train", train)
    failed = play(made, progress, str)
    assert failed == {"quickstart-contextrl-0": "no\nroom"}
    assert played == ["quickstart-contextrl-0", "quickstart-grpo-1", "quickstart-contextrl-1"]
    assert progress.stages[0] == "[2/4, 3:00 left] Training"
    assert "quickstart-contextrl-0: run 2 of 4, 1.0/min, 3:00 left" in progress.lines
    played.clear()
    assert play(made, progress, str) == failed and played == ["quickstart-contextrl-0"]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["study", str(QUICKSTART), "--arms", "grpo,contextrl", "--seeds", "1", f"runs={tmp_path}"]
    made = plan(tmp_path, seeds="1")
    done = CliRunner().invoke(app, [*command, "--dry-run"])
    assert done.exit_code == 0 and done.output.split() == ["quickstart-grpo-0", "quickstart-contextrl-0"]
    assert not list(tmp_path.iterdir()), "nothing was started"
    done = CliRunner().invoke(app, [*command, "--report"])
    assert done.exit_code == 2 and "no run of this study is finished yet" in done.output
    finish(made, "grpo", 0, 5, 5)

    def broken(recipe: Any, *, progress: Any) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr("contextrl.loop.train", broken)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1 and "quickstart-contextrl-0 failed: RuntimeError: out of memory" in done.output
    assert (made.folder / "study.json").is_file(), "what is there is reported"


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    made = plan(tmp_path)
    finish(made, "grpo", 0, 5, 5)
    damaged = made.runs[0].recipe.run_dir / "after.json"
    damaged.write_text("{")
    with pytest.raises(ReportError, match=r"quickstart-grpo-0.*cannot be read"):
        results(made)


def test_what_is_measured_before_training_is_measured_once_for_each_seed(tmp_path: Path) -> None:
    made = plan(tmp_path, arms="grpo,contextrl,da-sft", own=["hard ca.hardness=[0.95]", "other policy=some/model"])
    finish(made, "grpo", 0, 5, 5)
    for run in made.runs:
        share_before(run, made.runs)
    measured = (tmp_path / "quickstart-grpo-0" / "before.json").read_bytes()
    there = {run.recipe.name for run in made.runs if (run.recipe.run_dir / "before.json").is_file()}
    assert there == {"quickstart-grpo-0", "quickstart-contextrl-0", "quickstart-da-sft-0"}
    given = tmp_path / "quickstart-contextrl-0"
    assert (given / "before.json").read_bytes() == measured
    assert Recipe.model_validate_json((given / "recipe.json").read_text()) == made.runs[1].recipe
    assert {p.name for p in given.iterdir()} == {"before.json", "recipe.json"}
    (given / "before.json").write_text("its own")
    share_before(made.runs[1], made.runs)
    assert (given / "before.json").read_text() == "its own", "a run that has begun is left alone"
