"""Sinks are read back with the readers of those who will look at them; a broken one harms nobody."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextrl.checkpoint import RunFolder
from contextrl.config import Recipe
from contextrl.logging.opening import Sinks, check_sinks, open_sinks
from contextrl.logging.sinks import Aside, flat
from contextrl.recipe_file import RecipeError, load_recipe

QUICKSTART = Path("recipes/quickstart.yaml")


@pytest.fixture(autouse=True)
def _nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def row(iteration: int, **more: Any) -> dict[str, Any]:
    return {"iteration": iteration, "seconds": {"sampling": 0.5 + iteration}, "kl": 0.25, **more}


def opened(runs: Path, *overrides: str) -> tuple[Recipe, RunFolder]:
    recipe = load_recipe(QUICKSTART, [f"runs={runs}", "name=small", *overrides])
    folder = RunFolder(recipe, resume=True)
    folder.begin()
    return recipe, folder


def write(runs: Path, rows: list[dict[str, Any]], *overrides: str) -> list[str]:
    """A session that begins with the first row's iteration; what it warned of."""
    recipe, folder = opened(runs, *overrides)
    warned: list[str] = []
    with open_sinks(recipe, folder, "small", rows[0]["iteration"], warned.append) as sinks:
        for one in rows:
            sinks.row(one)
    return warned


def test_tensorboard_reads_what_was_written_and_a_resumed_run_as_one(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert write(tmp_path, [row(i, kl=9.0) for i in range(4)], "logging.tensorboard=true") == []
    again = [row(2, selection_accuracy={"level 2": 0.75}), row(3)]
    assert write(tmp_path, again, "logging.tensorboard=true") == []
    found = EventAccumulator(str(tmp_path / "small" / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in found.Scalars("kl")] == [(0, 9.0), (1, 9.0), (2, 0.25), (3, 0.25)]
    assert [(e.step, e.value) for e in found.Scalars("seconds/sampling")] == [(i, 0.5 + i) for i in range(4)]
    assert [(e.step, e.value) for e in found.Scalars("selection_accuracy/level_2")] == [(2, 0.75)]
    assert set(found.Tags()["scalars"]) == {"kl", "seconds/sampling", "selection_accuracy/level_2"}
    (told,) = found.Tensors("recipe/text_summary")
    assert b"    name: small\n" in told.tensor_proto.string_val[0]


def test_mlflow_has_the_run_once_with_its_recipe(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    asked = [f"logging.mlflow={{uri: '{uri}', experiment: context}}"]
    assert write(tmp_path, [row(0), row(1)], *asked) == []
    longer = [*asked, "train.iterations=99"]  # may change when a run goes on
    assert write(tmp_path, [row(2, selection_accuracy={"level 2": 0.75}, bad=math.nan)], *longer) == []
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("context")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "small" and run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "seconds/sampling")
    assert [(m.step, m.value) for m in history] == [(0, 0.5), (1, 1.5), (2, 2.5)]
    assert run.data.metrics == {"kl": 0.25, "seconds/sampling": 2.5, "selection_accuracy/level 2": 0.75}
    assert run.data.params["repositories/0/source"].startswith("generated:") and run.data.params["name"] == "small"
    assert run.data.params["train/iterations"] != "99", "written once"


def test_wandb_offline_keeps_one_run(tmp_path: Path) -> None:
    asked = "logging.wandb={project: context, mode: offline}"
    assert write(tmp_path, [row(0), row(1)], asked) == []
    time.sleep(1.1)  # a session's folder is named after the second in which it begins
    assert write(tmp_path, [row(2, selection_accuracy={"level 2": 0.75})], asked) == []
    known = RunFolder(opened(tmp_path, asked)[0], resume=True).read("wandb")
    assert known is not None
    files = sorted((tmp_path / "small" / "wandb").glob(f"offline-run-*-{known['id']}/run-{known['id']}.wandb"))
    rows, runs = list[dict[str, str]](), list[Any]()
    for file in files:
        for record in wandb_records(file):
            if record.WhichOneof("record_type") == "run":
                runs.append(record.run)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                rows.append({"/".join(i.nested_key) or i.key: i.value_json for i in items})
    assert len(files) == 2 and {(r.project, r.run_id, r.display_name) for r in runs} == {
        ("context", known["id"], "small")
    }
    assert [r["_step"] for r in rows] == [r["iteration"] for r in rows] == ["0", "1", "2"]
    assert [r["seconds/sampling"] for r in rows] == ["0.5", "1.5", "2.5"]
    assert rows[2]["selection_accuracy/level 2"] == "0.75"
    config = {item.key: item.value_json for item in runs[0].config.update}
    assert config["name"] == '"small"' and '"pairs_per_step"' in config["ca"]


def wandb_records(file: Path) -> list[Any]:
    """Of a W&B file: a header of 7 bytes, then blocks of 32 KiB whose parts are checksum, length, kind and bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, found, part = file.read_bytes(), 7, list[Any](), b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        part += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            found.append(Record.FromString(part))
            part = b""
    return found


def test_a_server_that_is_away_is_told_of_once(tmp_path: Path) -> None:
    asked = "logging.mlflow.uri=http://127.0.0.1:9"
    (warning,) = write(tmp_path, [row(i) for i in range(3)], asked)
    assert warning.startswith("warning: MLflow") and "\n" not in warning


class Flaky:
    """Works from the nth attempt on; whether opening it is one."""

    def __init__(self, fails: int, opens: bool = False) -> None:
        self.fails, self.opens, self.got, self.closed = fails, opens, list[int](), False

    def open(self) -> Flaky:
        if not self.opens:
            self._may_fail()
        return self

    def row(self, iteration: int, values: Mapping[str, float]) -> None:
        self._may_fail()
        self.got.append(iteration)

    def close(self) -> None:
        self.closed = True

    def _may_fail(self) -> None:
        self.fails -= 1
        if self.fails >= 0:
            raise ConnectionError("away\nfor now")


@given(st.integers(0, 12), st.booleans())
def test_rows_that_a_sink_missed_come_later_and_in_order(fails: int, opens: bool) -> None:
    flaky, warned = Flaky(fails, opens), list[str]()
    aside = Aside("Flaky", flaky.open, warned.append)
    for i in range(8):
        aside.row(i, {})
    aside.close()
    attempts = 8 if opens else 9  # one a row, and one at the start
    assert flaky.got == (list(range(8)) if fails < attempts else [])
    assert [w.partition(";")[0] for w in warned] == (
        ["warning: Flaky does not get the metrics (ConnectionError: away)"] if fails else []
    )
    assert flaky.closed == (opens or fails < attempts)


def test_nobody_waits_for_a_sink_that_hangs() -> None:
    hangs, warned = threading.Event(), list[str]()

    class Hanging(Flaky):
        def row(self, iteration: int, values: Mapping[str, float]) -> None:
            hangs.wait()

    aside = Aside("Hanging", Hanging(0).open, warned.append)
    for i in range(1000):
        aside.row(i, {})
    aside.close(patience_s=0.1)
    hangs.set()
    assert len(warned) == 1 and "still writing" in warned[0]


def test_sinks_end_side_by_side() -> None:
    ended, warned = threading.Event(), list[str]()

    class First(Flaky):
        def close(self) -> None:
            ended.wait()

    class Second(Flaky):
        def close(self) -> None:
            ended.set()

    Sinks([Aside("First", First(0).open, warned.append), Aside("Second", Second(0).open, warned.append)]).close()
    assert warned == []


VALUE = st.one_of(st.floats(), st.integers(-5, 5), st.booleans(), st.text(max_size=3), st.none())


@given(
    st.dictionaries(st.sampled_from(["a", "b c", "iteration"]), st.one_of(VALUE, st.dictionaries(st.just("x"), VALUE)))
)
def test_a_flat_row_has_the_numbers_that_can_be_drawn(given_row: dict[str, Any]) -> None:
    found = flat(given_row)
    assert "iteration" not in found and all(math.isfinite(value) for value in found.values())
    for name, value in given_row.items():
        inside, key = (value.get("x"), f"{name}/x") if isinstance(value, dict) else (value, name)
        drawn = isinstance(inside, int | float) and math.isfinite(inside) and key != "iteration"
        assert (key in found) == drawn and (not drawn or found[key] == inside)


@pytest.mark.parametrize(
    ("sink", "package", "asked"),
    [
        ("tensorboard", "tensorboardX", "logging.tensorboard=true"),
        ("wandb", "wandb", "logging.wandb.project=p"),
        ("mlflow", "mlflow", "logging.mlflow.uri=http://host:5000"),
    ],
)
def test_a_package_that_is_missing_is_told_before_anything_starts(
    sink: str, package: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    recipe = load_recipe(QUICKSTART, [asked])
    check_sinks(recipe.logging)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RecipeError, match=rf"logging\.{sink} needs {package}.*contextrl\[{sink}\]"):
        check_sinks(recipe.logging)
    check_sinks(load_recipe(QUICKSTART).logging)


def test_wandb_online_needs_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))

    def refused(*overrides: str) -> bool:
        try:
            check_sinks(load_recipe(QUICKSTART, ["logging.wandb.project=p", *overrides]).logging)
        except RecipeError as error:
            assert "wandb login" in str(error) and "\n" not in str(error)
            return True
        return False

    assert refused() and not refused("logging.wandb.mode=offline")
    file.write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    assert not refused()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert refused()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert not refused()


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("logging.wandb={}", "`logging.wandb.project` is missing"),
        ("logging.wandb={project: p, mode: later}", "'online' or 'offline'"),
        ("logging.mlflow={uri: 'http://me:secret@host'}", "MLFLOW_TRACKING_PASSWORD"),
        ("logging.wandb={projct: p}", "did you mean `logging.wandb.project`?"),
        ("logging.tensorbord=true", "did you mean `logging.tensorboard`?"),
    ],
)
def test_a_sink_that_is_asked_for_wrongly_is_one_sentence(override: str, told: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(QUICKSTART, [override])
    assert told in str(error.value) and "secret" not in str(error.value) and "\n" not in str(error.value)


def test_packages_are_imported_only_where_they_are_used(tmp_path: Path) -> None:
    heavy = ("torch", "wandb", "mlflow", "tensorboardX")
    code = f"import sys, contextrl.preflight; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
