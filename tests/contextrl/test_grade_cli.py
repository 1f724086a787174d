"""`contextrl grade`: predictions in, a report out; nothing of a file is lost, nothing of an interrupted run either."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contextrl.cli import app
from contextrl.cli.grade import kept_in
from contextrl.graded import Results, grade_all, summary
from contextrl.predictions import Prediction, PredictionError, Predictions, is_empty, read_predictions
from envs.grading import GradeReport
from envs.patch import make_patch
from envs.task import RepoProfile, TaskInstance
from envs.tasksets import save_taskset
from sandbox.protocol import SandboxError

MONEY = "def total(prices, tax):\n    return sum(prices) + tax\n"
BROKEN = MONEY.replace("+ tax", "- tax")
OTHER = MONEY.replace("+ tax", "* tax")
TESTS = """\
import unittest
from shop import total


class Money(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2], 4), 7)

    def test_free(self):
        self.assertEqual(total([], 0), 0)
"""


def task_of(name, broken):
    return TaskInstance(
        instance_id=name,
        repo="shop",
        base_commit="5b0" + "2" * 37,
        problem_statement="total is wrong",
        patch=make_patch({"shop.py": broken}, {"shop.py": MONEY}),
        FAIL_TO_PASS=("test_shop.Money.test_total",),
        PASS_TO_PASS=("test_shop.Money.test_free",),
        profile="shop",
        setup={"shop.py": broken},
        tests={"test_shop.py": TESTS},
        test_targets=("test_shop.py",),
    )


TASKS = [task_of("shop-1", BROKEN), task_of("shop-2", OTHER), task_of("shop-3", "def total(*_):\n    return 0\n")]
WRONG = make_patch({"shop.py": BROKEN}, {"shop.py": BROKEN + "# done\n"})


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A home folder with the repository, and a task set at `tasks`."""
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))
    tmp_path.chmod(0o755)
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o755)
    (tree / "shop.py").write_text(MONEY)
    profile = RepoProfile(
        name="shop",
        source=str(tree),
        base_commit="5b0" + "2" * 37,
        tree=tree,
        python=Path(sys.executable),
        test_cmd="python -m unittest -v {tests}",
        source_files=("shop.py",),
    )
    folder = tmp_path / "home" / "repos" / "shop"
    folder.mkdir(parents=True)
    (folder / "profile.json").write_text(profile.model_dump_json())
    save_taskset(TASKS, tmp_path / "tasks")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grade(*arguments):
    return CliRunner().invoke(app, ["grade", *arguments, "--backend", "local"], env={"NO_COLOR": "1", "COLUMNS": "200"})


def refused(*arguments):
    result = grade(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.stderr and result.stderr.count("\n") == 1
    return result.stderr


def prediction(name, patch, **others):
    return {"instance_id": name, "model_name_or_path": "m", "model_patch": patch, **others}


def written(path, entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path.name


def test_gold_patches_resolve_and_the_report_has_swebench_s_keys(shop):
    result = grade("gold", "--tasks", "tasks", "--out", "gold.json")
    assert result.exit_code == 0, result.output
    assert "3 of 3 resolved. Report: gold.json" in result.stdout
    report = json.loads((shop / "gold.json").read_text())
    assert report["schema_version"] == 2
    assert (
        report["resolved_ids"] == report["completed_ids"] == report["submitted_ids"] == ["shop-1", "shop-2", "shop-3"]
    )
    assert report["total_instances"] == report["resolved_instances"] == 3
    assert report["unresolved_ids"] == report["error_ids"] == report["tampered_ids"] == report["incomplete_ids"] == []


def test_every_prediction_of_a_file_is_accounted_for(shop):
    entries = [prediction("shop-1", WRONG), prediction("shop-2", ""), prediction("other-9", WRONG)]
    entries.append({"instance_id": "shop-3", "patch": TASKS[2].patch})
    result = grade(written(shop / "p.jsonl", entries), "--tasks", "tasks")
    assert result.exit_code == 0, result.output
    report = json.loads((shop / "report.json").read_text())
    assert report["resolved_ids"] == ["shop-3"] and report["unresolved_ids"] == ["shop-1"]
    assert report["empty_patch_ids"] == ["shop-2"] and report["unknown_ids"] == ["other-9"]
    assert report["submitted_instances"] == 4
    assert "1 predictions are for no task of this set" in result.stderr
    row = next(line for line in result.stdout.splitlines() if line.startswith("shop-1"))
    assert "unresolved" in row and "still failing: test_shop.Money.test_total" in row
    kept = [json.loads(line) for line in (shop / "report.instances.jsonl").read_text().splitlines()]
    tests = {result["instance_id"]: result["tests"] for result in kept}
    assert tests["shop-3"]["FAIL_TO_PASS"] == {"test_shop.Money.test_total": "passed"}
    assert tests["shop-1"]["FAIL_TO_PASS"] == {"test_shop.Money.test_total": "failed"}


def test_a_second_run_runs_only_what_is_new(shop):
    name = written(shop / "p.jsonl", [prediction("shop-1", TASKS[0].patch)])
    assert grade(name, "--tasks", "tasks").exit_code == 0
    kept = (shop / "report.instances.jsonl").read_text()
    (shop / "report.instances.jsonl").write_text(kept + '{"instance_id": "shop-2", "outc')  # cut by an interruption
    written(shop / "p.jsonl", [prediction("shop-1", TASKS[0].patch), prediction("shop-2", TASKS[1].patch)])
    result = grade(name, "--tasks", "tasks")
    assert result.exit_code == 0 and "2 of 2 resolved" in result.stdout
    assert (shop / "report.instances.jsonl").read_text().startswith(kept)
    written(shop / "p.jsonl", [prediction("shop-1", WRONG)])
    assert "0 of 1 resolved" in grade(name, "--tasks", "tasks").stdout


def test_ctrl_c_loses_no_result(shop):
    slow = TASKS[1].model_copy(update={"tests": {"test_shop.py": TESTS + "import time\ntime.sleep(30)\n"}})
    save_taskset([TASKS[0], slow], shop / "tasks")
    command = [sys.executable, "-m", "contextrl", "grade", "gold", "--tasks", "tasks", "--backend", "local"]
    root = str(Path(__file__).parents[2])
    run = subprocess.Popen(
        [*command, "--workers", "1"], stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    )
    kept = shop / "report.instances.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and "shop-1" not in (kept.read_text() if kept.exists() else ""):
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 130 and "The same command goes on" in said
    assert json.loads(kept.read_text())["outcome"] == "resolved"
    assert not (shop / "report.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "p.json: entry 1 is not an object with instance_id and model_patch"),
        ('[{"model_patch": ""}]', "p.json: entry 1 has no instance_id"),
        ('[{"instance_id": "shop-1", "model_patch": 3}]', "the model_patch of shop-1 is not text"),
        ("{", "p.json is not JSON"),
        ("[" * 100_000, "p.json is not JSON"),
        ("7", "p.json holds int, not a list of predictions"),
        ("[]", "p.json predicts no task of this set (it predicts none at all)"),
        ('[{"instance_id": "x-1", "model_patch": ""}]', "p.json predicts no task of this set (it predicts x-1)"),
        (
            json.dumps([prediction("shop-1", "a"), prediction("shop-1", "b")]),
            "shop-1 is predicted twice, not alike (the second is entry 2)",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(shop, text, message):
    (shop / "p.json").write_text(text)
    assert message in refused("p.json", "--tasks", "tasks")
    assert not (shop / "report.instances.jsonl").exists()


def test_places_and_names_that_do_not_fit_are_refused(shop):
    assert "predictions are a .json file, a .jsonl file, or the word gold" in refused("p.txt", "--tasks", "tasks")
    assert "nowhere" in refused("gold", "--tasks", "nowhere")
    (shop / "report.json").write_text('{"mine": 1}')
    assert "report.json is there and is no report" in refused("gold", "--tasks", "tasks")
    assert "let --out end with .json" in refused("gold", "--tasks", "tasks", "--out", "r.txt")
    published = TASKS[0].model_copy(update={"profile": "", "image": "me/shop:1"})
    save_taskset([published], shop / "published")
    said = grade("gold", "--tasks", "published", "--out", "p.json").stderr
    assert "task shop-1 lies in a published image, which needs Docker: --backend docker" in said


def test_one_run_at_a_time_adds_to_a_results_file_and_it_must_be_one(shop):
    kept = shop / "report.instances.jsonl"
    with contextlib.closing(Results(kept)):
        assert "another run is adding to report.instances.jsonl" in refused("gold", "--tasks", "tasks")
    kept.write_text(mine := json.dumps(prediction("shop-1", "x")) + "\n")
    assert "line 1, is no result of a grading: choose another --out" in refused("gold", "--tasks", "tasks")
    assert kept.read_text() == mine


def test_logs_lie_where_the_official_harness_has_them(tmp_path):
    keep = kept_in(tmp_path, Predictions({"shop-1": Prediction("shop-1", WRONG, "org/m")}))
    keep(TASKS[0], WRONG, "ok \udcff\n")
    place = tmp_path / "org__m" / "shop-1"
    assert (place / "patch.diff").read_text() == WRONG
    assert (place / "test_output.txt").read_text() == "ok \\udcff\n"


def test_predictions_come_as_a_list_or_by_id(shop):
    by_id = {"shop-1": {"model_patch": "x", "model_name_or_path": "m"}, "shop-2": prediction("shop-2", None)}
    (shop / "p.json").write_text(json.dumps(by_id))
    read = read_predictions("p.json", TASKS)
    assert read.known["shop-1"] == Prediction("shop-1", "x", "m") and is_empty(read.known["shop-2"])
    (shop / "p.json").write_text(json.dumps([{"instance_id": "shop-1"}, {"instance_id": "shop-1"}]))
    read = read_predictions("p.json", TASKS)
    assert list(read.known) == ["shop-1"] and "shop-1 has neither model_patch nor patch" in read.notes[0]
    with pytest.raises(PredictionError, match="line 2 is not JSON"):
        (shop / "p.jsonl").write_text(json.dumps(prediction("shop-1", "x")) + "\n{\n")
        read_predictions("p.jsonl", TASKS)


async def test_a_failure_of_ours_is_an_error_that_the_next_run_tries_again(tmp_path):
    class Failing:
        def __init__(self, failures):
            self.failures = failures

        async def grade(self, task, profile, patch):
            self.failures -= 1
            if self.failures >= 0:
                raise SandboxError("the engine is gone")
            return GradeReport(False, reason="meddled", tampered=True)

    tasks = {task.instance_id: task for task in TASKS[:1]}
    predictions = Predictions({"shop-1": Prediction("shop-1", WRONG, "m")})

    async def run(failures):
        said = []
        with contextlib.closing(Results(tmp_path / "r.jsonl")) as results:
            graded = await grade_all(
                tasks, {"shop-1": None}, predictions, Failing(failures), results, on_progress=lambda *a: said.append(a)
            )
        assert said[-1][:2] == (1, 1)
        return summary(tasks, predictions, graded)

    first = await run(9)
    assert first["error_ids"] == ["shop-1"] and first["unresolved_ids"] == [] and first["completed_instances"] == 0
    assert first["failure_reasons"] == {"shop-1": "the engine is gone"}
    again = await run(1)  # once more within a run
    assert again["error_ids"] == [] and again["unresolved_ids"] == again["tampered_ids"] == ["shop-1"]
    assert (await run(9))["tampered_ids"] == ["shop-1"], "what was graded is not graded again"
