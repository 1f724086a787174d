"""Task sets on disk: what is saved is what is loaded, in a layout that swebench's own tools read."""

import json
import os
import shutil
import subprocess
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop_repository import MONEY

from envs.patch import make_patch
from envs.task import Difficulty, HiddenCall, TaskInstance
from envs.tasksets import TaskSetError, load_taskset, save_taskset
from envs.tasksets.files import load_rows
from envs.tasksets.reader import about, how_made
from envs.tasksets.repositories import Repositories
from envs.tasksets.rows import to_row

LONG = "".join(f"line {i} é\r\n" for i in range(900))


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path_factory.mktemp("home")))


def task_of(number, setup, **more):
    return TaskInstance(
        instance_id=f"t-{number}",
        repo="r",
        base_commit="c",
        problem_statement="Fix\u2028it.\n",
        patch="diff --git a/x b/x\n",
        FAIL_TO_PASS=("a",),
        PASS_TO_PASS=("b", "t[\u00e9 \\n 1.0]", "no"),
        setup=setup,
        tests={"tests/a.py": "x\n"},
        **{"split": "train", **more},
    )


@pytest.fixture
def tasks():
    changed = [LONG, LONG.replace("line 400", "line CDXX"), LONG[:-1], LONG + "end", "", LONG[::-1], LONG]
    return [task_of(i, {"a.py": text, "b.py": "short"}) for i, text in enumerate(changed)]


def full(task):
    """The task with a value in every field that one of ours can have."""
    return task.model_copy(
        update={
            "hints_text": "Look\r\nclosely.",
            "version": "4.10",
            "created_at": "2024-01-02T03:04:05Z",
            "environment_setup_commit": "1e5",
            "hidden": (HiddenCall(function="shop/money.py::total", arguments="([1],)", expected="'no'"),),
            "difficulty": Difficulty(lines=2, tests_broken=2, distance=0),
            "flaky": ("null", "t: x"),
            "repairs": ("line one\nline two",),
            "functions": ("shop/money.py::total",),
            "files": ("shop/money.py",),
            "network": True,
            "split": "heldout_function",
        }
    )


def test_a_task_set_comes_back_to_the_last_byte_and_in_its_order(tmp_path, tasks):
    save_taskset(tasks[::-1], tmp_path / "set", {"by": "hand", "funnel": {"valid": 7}})
    assert load_taskset(tmp_path / "set") == tasks[::-1]
    ours = about(tmp_path / "set")["contextrl"]
    assert (ours["tasks"], ours["splits"]) == ("7", {"train": "7"})
    assert ours["made"] == {"by": "hand", "funnel": {"valid": "7"}}


def test_files_are_diffs_against_the_repository(tmp_path, profile, task):
    unchanged = task.model_copy(update={"instance_id": "shop-2", "setup": {"shop/money.py": MONEY}, "tests": {}})
    save_taskset([full(task), unchanged], tmp_path / "set", profiles=[profile])
    folder = tmp_path / "set" / "tasks" / "shop-1"
    assert (folder / "bug.patch").read_text().count("\n+") == 2  # `+++` and the line with the bug
    assert "test_no_prices" in (folder / "test.patch").read_text()
    assert json.loads((folder / "hidden.json").read_text())[0]["expected"] == "'no'"
    assert load_taskset(tmp_path / "set", profiles=[profile]) == [full(task), unchanged]


def test_a_missing_repository_is_named_with_the_command_that_adds_it(tmp_path, profile, task):
    known = profile.model_copy(update={"source": "pypi:shop", "version": "1.2"})
    save_taskset([task], tmp_path / "set", profiles=[known])
    with pytest.raises(TaskSetError, match=r"repository shop at .* contextrl repo add pypi:shop==1.2 --name shop"):
        load_taskset(tmp_path / "set")
    other = profile.model_copy(update={"base_commit": "f" * 40})
    with pytest.raises(TaskSetError, match="is not on this machine"):
        load_taskset(tmp_path / "set", profiles=[other])


@pytest.mark.parametrize("agrees", [True, False])
def test_hidden_tests_and_a_test_patch_may_differ(tmp_path, profile, task, agrees):
    before = {path: (profile.tree / path).read_text() for path in task.tests}
    patch = make_patch(before, task.tests if agrees else {"tests/test_money.py": "other\n"})
    both = task.model_copy(update={"test_patch": patch})
    save_taskset([both], tmp_path / "set", profiles=[profile])
    assert load_taskset(tmp_path / "set", profiles=[profile]) == [both]
    assert ("test_no_prices" in (tmp_path / "set/tasks/shop-1/task.yaml").read_text()) is not agrees


texts = st.text(st.characters(codec="utf-8"), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(setup=texts, tests=texts, statement=texts, words=st.lists(texts, max_size=3), hints=texts)
def test_any_text_comes_back(tmp_path_factory, profile, task, setup, tests, statement, words, hints):
    update = {
        "setup": {"shop/money.py": setup, "new file.py": tests},
        "tests": {"shop/money.py": tests, "tests/test_money.py": setup},
        "problem_statement": statement,
        "hints_text": hints,
        "kind": hints,
        "flaky": tuple(words),
        "PASS_TO_PASS": tuple(words),
    }
    given_task = task.model_copy(update=update)
    folder = tmp_path_factory.mktemp("any") / "set"
    save_taskset([given_task], folder, profiles=[profile])
    assert load_taskset(folder, profiles=[profile]) == [given_task]


def test_an_imported_task_keeps_its_script_and_image(tmp_path):
    patch = make_patch({"a.py": "x\n"}, {"a.py": "y\n"})
    imported = TaskInstance(
        instance_id="own__r-1",
        repo="own/r",
        base_commit="c" * 40,
        problem_statement="p",
        patch=patch,
        test_patch=patch,
        bug_patch=patch,
        FAIL_TO_PASS=("a",),
        PASS_TO_PASS=(),
        image="somebody/sweb.eval.x86_64.own_s_r-1",
        eval_script="#!/bin/bash\r\n: '>>>>> Start Test Output'\n: '>>>>> End Test Output'",
        log_parser="parse_log_django",
        eval_type="fail_only",
    )
    save_taskset([imported], tmp_path / "set")
    assert load_taskset(tmp_path / "set") == [imported]
    assert (tmp_path / "set/tasks/own__r-1/Dockerfile").read_text().startswith(f"FROM {imported.image}\nCOPY bug.patch")


def test_swebench_finds_nothing_wrong(tmp_path, profile, task, tasks):
    checks = pytest.importorskip("swebench.task.checks")
    script = "#!/bin/bash\n: '>>>>> Start Test Output'\n: '>>>>> End Test Output'\n"
    own, foreign = full(task), task_of("image", {}, split="", image="somebody/x", eval_script=script)
    save_taskset([own, *tasks, foreign], tmp_path / "set", profiles=[profile], sources=True)
    assert checks.check_task_repo(tmp_path / "set") == []
    loaded = pytest.importorskip("swebench.task.repo").load_task_repo(tmp_path / "set")
    rows = {row["instance_id"]: row for row in loaded}
    assert rows["shop-1"]["FAIL_TO_PASS"] == list(own.FAIL_TO_PASS)
    assert rows["shop-1"]["patch"] == own.patch
    (tmp_path / "set/tasks/shop-1/eval.sh").write_text("exit 0\n")
    assert len(checks.check_task_repo(tmp_path / "set")) == 2  # the check can fail


def test_a_set_of_swebench_is_read(tmp_path):
    folder = tmp_path / "set" / "tasks" / "o__r-1"
    folder.mkdir(parents=True)
    (tmp_path / "set" / "sweb.yaml").write_text("datasets: [SWE-bench/X]\nsplits: [test]\n")
    meta = (
        "instance_id: o__r-1\nrepo: o/r\nversion: 4.10\nbase_commit: 12e4567\nsplit: test\nimage: swebench/x:latest\n"
    )
    meta += "log_parser: parse_log_pytest\neval_type: pass_and_fail\ncreated_at: 2024-01-02\ndifficulty: 15 min\n"
    texts = {"task.yaml": meta, "tests.json": '{"FAIL_TO_PASS": ["a"], "PASS_TO_PASS": []}', "gold.patch": "g"}
    for name, text in {**texts, "test.patch": "t", "problem_statement.md": "p", "eval.sh": "e"}.items():
        (folder / name).write_text(text)
    (read,) = load_taskset(tmp_path / "set")
    assert (read.version, read.base_commit, read.created_at) == ("4.10", "12e4567", "2024-01-02")
    assert (read.image, read.eval_script, read.split) == ("swebench/x:latest", "e", "")


def test_saving_again_replaces_and_spares_other_folders(tmp_path, tasks):
    save_taskset(tasks, tmp_path / "set")
    save_taskset(tasks[:2], tmp_path / "set")
    assert load_taskset(tmp_path / "set") == tasks[:2]
    (tmp_path / "mine").mkdir()
    with pytest.raises(TaskSetError, match="no task set"):
        save_taskset(tasks, tmp_path / "mine")
    with pytest.raises(TaskSetError, match="two tasks have the instance id 't-0'"):
        save_taskset([tasks[0], tasks[0]], tmp_path / "set")
    assert load_taskset(tmp_path / "set") == tasks[:2]  # what failed left the old one
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "set"]


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b"])
def test_an_id_that_cannot_name_a_folder_is_refused(tmp_path, tasks, name):
    with pytest.raises(TaskSetError, match="cannot name a folder"):
        save_taskset([tasks[0].model_copy(update={"instance_id": name})], tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sweb.yaml", None, "has no sweb.yaml"),
        ("sweb.yaml", "contextrl: {format: 99}", "format 99"),
        ("sweb.yaml", "a: [", "sweb.yaml cannot be read"),
        ("sweb.yaml", "[]", "holds no mapping"),
        ("tasks/t-3/task.yaml", None, "t-3: it has no task.yaml"),
        ("tasks/t-3/task.yaml", "a: [", "t-3: task.yaml cannot be read"),
        ("tasks/t-3/task.yaml", "instance_id: t-4", "t-3: its instance_id is 't-4'"),
        ("tasks/t-3/task.yaml", "instance_id: t-3", "t-3: the field repo is wrong: field required"),
        ("tasks/t-3/tests.json", "{broken", "t-3: tests.json cannot be read"),
        ("tasks/t-3/tests.json", '{"FAIL_TO_PASS": "x"}', "t-3: FAIL_TO_PASS is no list of test ids"),
        ("tasks/t-3/gold.patch", None, "t-3: it has no gold.patch"),
        ("tasks/t-3/bug.patch", "--- a/a.py\n+++ b/a.py\n@@ x\n", "t-3: the bug_patch does not apply: a.py"),
        ("tasks/t-3/bug.patch", "", "t-3: the bug_patch leaves no file a.py"),
        ("tasks/t-3/problem_statement.md", b"\xff", "t-3: problem_statement.md is not text in UTF-8"),
    ],
)
def test_a_damaged_task_set_is_told_in_one_sentence(tmp_path, tasks, name, text, message):
    save_taskset(tasks, tmp_path / "set")
    (tmp_path / "set" / name).unlink()
    if text is not None:
        (tmp_path / "set" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(TaskSetError, match=message) as caught:
        load_taskset(tmp_path / "set")
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("name", ["problem_statement.md", "hidden.json", "tests.json", "hints.md"])
def test_a_link_or_a_pipe_of_a_stranger_is_not_followed(tmp_path, tasks, name):
    folder = tmp_path / "set"
    save_taskset(tasks[:1], folder)
    (tmp_path / "secret").write_text("the key")
    place = folder / "tasks" / "t-0" / name
    for make in (lambda: place.symlink_to(tmp_path / "secret"), lambda: os.mkfifo(place), place.mkdir):
        place.unlink(missing_ok=True)
        make()
        with pytest.raises(TaskSetError, match=f"t-0: {name} is no regular file"):
            load_taskset(folder)
    shutil.move(folder / "tasks" / "t-0", tmp_path / "elsewhere")
    (folder / "tasks" / "t-0").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TaskSetError, match="t-0: it is a link"):
        load_taskset(folder)


@pytest.mark.parametrize(
    "ours", ["splits: [x]", "repositories: 5", "repositories: [x]", "order: {a: b}", "order: [[]]"]
)
def test_a_config_of_another_form_is_told_in_one_sentence(tmp_path, tasks, ours):
    save_taskset(tasks[:1], tmp_path / "set")
    (tmp_path / "set" / "sweb.yaml").write_text(f"contextrl: {{format: '2', tasks: '1', {ours}}}\n")
    with pytest.raises(TaskSetError, match="holds no mapping of the known form"):
        load_taskset(tmp_path / "set")
    (tmp_path / "set" / "sweb.yaml").write_text("contextrl: {made: !unknown x}\n")
    with pytest.raises(TaskSetError, match=r"sweb\.yaml cannot be read"):
        how_made(tmp_path / "set")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instance_id": "../../x"}, "the instance id '../../x' cannot name a folder"),
        ({"instance_id": "a\nb"}, "cannot name a folder"),
        ({"instance_id": "x" * 100_000}, "the instance id 'xxx"),
        ({"instance_id": 5}, "the instance id 5 cannot"),
        ({"setup": 5}, "setup is no list of names"),
        ({"tests": 5}, "tests is no list of names"),
        ({"derived": 5}, "derived is no list of names"),
        ({"tests": {"../evil.py": "x"}}, "../evil.py"),
        ({"tests": ["../evil.py"]}, "../evil.py"),
        ({"FAIL_TO_PASS": "[" * 100_000}, "FAIL_TO_PASS is no list of test ids"),
        ({"hidden": "[" * 100_000}, "the field hidden is wrong"),
        ({"base_commit": "d", "profile": "x", "source": "a; rm -rf /"}, "repo add 'a; rm -rf /' --name x"),
    ],
)
def test_a_row_of_a_stranger_is_told_in_one_sentence(tmp_path, profile, task, change, message):
    row = {**to_row(task, Repositories([profile])), **change}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(TaskSetError) as refused:
        load_rows(tmp_path / "rows.jsonl", profiles=[profile])
    assert message in str(refused.value) and len(str(refused.value)) < 600


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "holds no row"), ("[" * 100_000, "line 1: no JSON"), ("null", "line 1: no row"), ("{row}\n{row}", "2 rows")],
)
def test_a_file_that_holds_no_tasks_or_one_twice_is_refused(tmp_path, profile, task, text, message):
    row = json.dumps(to_row(task, Repositories([profile])))
    (tmp_path / "rows.jsonl").write_text(text.replace("{row}", row))
    with pytest.raises(TaskSetError, match=message):
        load_rows(tmp_path / "rows.jsonl", profiles=[profile])


def test_a_set_that_lost_a_task_is_not_taken_for_whole(tmp_path, tasks):
    save_taskset(tasks, tmp_path / "set")
    (tmp_path / "set" / "tasks" / "t-3").rename(tmp_path / "elsewhere")
    with pytest.raises(TaskSetError, match="should hold 7 tasks but has 6"):
        load_taskset(tmp_path / "set")


def test_two_thousand_tasks_take_seconds(tmp_path, profile, task):
    texts = [MONEY + f"\n\nx = {i}\n" for i in range(2000)]
    many = [
        task.model_copy(update={"instance_id": f"shop-{i:04}", "setup": {"shop/money.py": text}})
        for i, text in enumerate(texts)
    ]
    began = time.process_time()
    save_taskset(many, tmp_path / "set", profiles=[profile])
    assert load_taskset(tmp_path / "set", profiles=[profile]) == many
    assert time.process_time() - began < 20


def run_eval(tmp_path, profile, task, files):
    """What a task's `eval.sh` prints in a copy of the repository, /testbed elsewhere."""
    save_taskset([task], tmp_path / "set", profiles=[profile])
    for path, text in {**{p.relative_to(profile.tree): p.read_text() for p in profile.tree.rglob("*.py")}}.items():
        (tmp_path / "testbed" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "testbed" / path).write_text(files.get(str(path), text))
    folder = tmp_path / "set" / "tasks" / task.instance_id
    script = (folder / "eval.sh").read_text().replace("/testbed", str(tmp_path / "testbed"))
    script = script.replace("python ", f"{profile.python} ")
    command = ["bash", "-c", script]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return ran.stdout.partition(">>>>> Start Test Output")[2].partition(">>>>> End Test Output")[0]


def node_id(test):
    return test.replace("tests.test_money.Money.", "tests/test_money.py::Money::")


@pytest.mark.parametrize("runner", ["unittest", "pytest"])
@pytest.mark.parametrize("repaired", [True, False])
def test_swebench_reads_the_log_of_our_eval_script(tmp_path, profile, task, runner, repaired):
    parsers = pytest.importorskip("swebench.harness.log_parsers").PARSER_REGISTRY
    if runner == "pytest":
        profile = profile.model_copy(update={"test_cmd": "python -m pytest {tests}", "log_parser": "pytest"})
        as_pytest = {key: tuple(map(node_id, getattr(task, key))) for key in ("FAIL_TO_PASS", "PASS_TO_PASS")}
        task = task.model_copy(update=as_pytest)
    row = to_row(task, Repositories([profile]))
    log = run_eval(tmp_path, profile, task, {} if repaired else dict(task.setup))
    status = parsers[row["log_parser"]](log, None)
    assert {status[test] for test in task.PASS_TO_PASS} == {"PASSED"}
    assert {status[test] for test in task.FAIL_TO_PASS} == {"PASSED" if repaired else "FAILED"}
