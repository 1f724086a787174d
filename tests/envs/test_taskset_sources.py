"""Task sets from the hub, by name, from installed packages; and whether they still hold."""

import http.server
import io
import json
import sys
import threading
from importlib.metadata import EntryPoint

import pytest

from envs.grading.sandbox_grader import SandboxGrader
from envs.patch import make_patch
from envs.tasksets import TaskSetError, registry, save_taskset
from envs.tasksets.check import check_tasks
from envs.tasksets.files import write_rows
from envs.tasksets.importers import rows_of
from envs.tasksets.registry import entry_point_names, find_taskset
from sandbox.home import home


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine with one data set of two splits, the second in two parts."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path in files else 404)
            self.end_headers()
            self.wfile.write(files.get(self.path, b"no"))

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"

    def part(*ids):
        buffer = io.BytesIO()
        parquet.write_table(arrow.Table.from_pylist([{"instance_id": i} for i in ids]), buffer)
        return buffer.getvalue()

    parts = {"/p/test": part("a", "b"), "/p/train0": part("c"), "/p/train1": part("d")}
    listing = {"default": {"test": [f"{address}/p/test"], "train": [f"{address}/p/train0", f"{address}/p/train1"]}}
    files |= {**parts, "/api/datasets/own/set/parquet": json.dumps(listing).encode()}
    files["/api/datasets/own/odd/parquet"] = b'{"default": {"test": ["file:///etc/passwd"]}}'
    monkeypatch.setenv("HF_ENDPOINT", address + "/")
    yield address
    server.shutdown()
    server.server_close()


def test_a_data_set_on_the_hub(hub):
    assert [row["instance_id"] for row in rows_of("own/set")] == ["a", "b"]
    assert [row["instance_id"] for row in rows_of("own/set", "train")] == ["c", "d"]
    assert [row["instance_id"] for row in rows_of("own/set", "train", 1)] == ["c"]


@pytest.mark.parametrize(
    ("name", "split", "told"),
    [
        ("own/set", "dev", "has no split 'dev': give --split with one of test, train"),
        ("own/none", None, "has no readable data set own/none .HTTP 404.: check the name"),
        ("own/odd", None, "which is no web address"),
    ],
)
def test_what_the_hub_does_not_have(hub, name, split, told):
    with pytest.raises(TaskSetError, match=told):
        rows_of(name, split)


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        TaskSetError, match=r"own/set is no file here, and http://127.0.0.1:9 cannot be reached .*: give a"
    ):
        rows_of("own/set")


def test_a_set_is_found_by_name_by_folder_and_by_file(tmp_path, task):
    imported = task.model_copy(update={"profile": ""})
    save_taskset([imported], home() / "tasksets" / "mine")
    save_taskset([imported], tmp_path / "elsewhere")
    write_rows([imported], tmp_path / "rows.jsonl")
    for name in ("mine", str(tmp_path / "elsewhere"), str(tmp_path / "rows.jsonl")):
        assert find_taskset(name) == [imported]
    with pytest.raises(TaskSetError, match="'nobody' is no task set"):
        find_taskset("nobody")


MODULE = """
from pathlib import Path
from envs.tasksets import load_taskset
folder = Path(__file__).parent / "set"
text = str(folder)
def tasks(): return load_taskset(folder)
def broken(): raise RuntimeError("not today")
number = 3
"""


def test_an_installed_package_brings_task_sets(tmp_path, task, monkeypatch):
    save_taskset([task], tmp_path / "set")
    (tmp_path / "somebodys_sets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ("folder", "text", "tasks", "broken", "number")
    points = [EntryPoint(name, f"somebodys_sets:{name}", registry.GROUP) for name in names]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    assert entry_point_names() == sorted(names)
    for name in ("folder", "text", "tasks"):
        assert find_taskset(name) == [task]
    with pytest.raises(TaskSetError, match="broken of somebodys_sets:broken fails: RuntimeError: not today"):
        find_taskset("broken")
    with pytest.raises(TaskSetError, match="number of somebodys_sets:number gives no tasks"):
        find_taskset("number")
    sys.modules.pop("somebodys_sets")


async def test_tasks_that_no_longer_hold_are_named(backend, limits, profile, task):
    shown = dict(task.setup)
    useless = make_patch(shown, {path: text + "\n" for path, text in shown.items()})
    easy = task.model_copy(update={"instance_id": "easy", "FAIL_TO_PASS": task.PASS_TO_PASS})
    half = task.model_copy(update={"instance_id": "half", "FAIL_TO_PASS": task.FAIL_TO_PASS + task.PASS_TO_PASS[:1]})
    wrong = task.model_copy(update={"instance_id": "wrong", "patch": useless})
    calls = []
    grader = SandboxGrader(backend, limits)
    checked = await check_tasks(
        [task, easy, half, wrong], lambda t: profile, grader, on_progress=lambda *call: calls.append(call)
    )
    assert [one.instance_id for one in checked] == ["shop-1", "easy", "half", "wrong"]
    assert [one.problem.partition(":")[0] for one in checked] == [
        "",
        "it is resolved without any repair",
        "passes without any repair",
        "the gold patch does not resolve it",
    ]
    assert (calls[0][:2], calls[-1]) == ((0, 4), (4, 4, "3 wrong"))
