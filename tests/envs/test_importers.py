"""Rows in the shapes that the big data sets have: read, mended in the open, or refused by name."""

import json
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.patch import apply_patch, make_patch
from envs.tasksets import TaskSetError
from envs.tasksets.files import load_rows, read_rows, write_rows
from envs.tasksets.importers import import_rows, rows_of
from envs.tasksets.importers.reverse import reverse

GOLD = make_patch({"lib/a.py": "x = 1\n"}, {"lib/a.py": "x = 2\n"})
TESTS = make_patch(
    {"tests/test_a.py": "old\n", "tests/gone.py": "g\n"},
    {"tests/test_a.py": "new\n", "tests/test_b.py": "b\n", "tests/data.json": "{}\n", "tests/gone.py": None},
)


def row(**changes):
    whole = {
        "instance_id": "own__lib-7",
        "repo": "own/lib",
        "base_commit": "a" * 40,
        "patch": GOLD,
        "test_patch": TESTS,
        "problem_statement": "x is wrong",
        "hints_text": "",
        "created_at": "2020-01-01T00:00:00Z",
        "version": "1.10",
        "FAIL_TO_PASS": json.dumps(["tests/test_a.py::test_x"]),
        "PASS_TO_PASS": ["tests/test_a.py::test_y[1]"],
        "environment_setup_commit": "b" * 40,
        "difficulty": "15 min - 1 hour",
    }
    whole.update(changes)
    return {key: value for key, value in whole.items() if value is not ...}


def one(kind, **changes):
    (task,) = import_rows(kind, [row(**changes)]).tasks
    return task


def test_a_row_of_swe_bench():
    task = one("swe-bench", repo="pytest-dev/pytest", instance_id="pytest-dev__pytest-7")
    assert task.FAIL_TO_PASS == ("tests/test_a.py::test_x",)
    assert task.image == "swebench/sweb.eval.x86_64.pytest-dev_1776_pytest-7:latest"
    assert (task.log_parser, task.eval_type, task.version) == ("parse_log_pytest", "pass_and_fail", "1.10")
    assert (task.difficulty.lines, task.files, task.repairs) == (2, ("lib/a.py",), ())
    script = task.eval_script
    assert f"git checkout {'a' * 40} tests/gone.py tests/test_a.py\ngit apply" in script  # no file that is new
    assert "Output'\npytest -rA tests/test_a.py tests/test_b.py\n: '" in script  # neither data nor what is gone
    assert TESTS in script


def test_what_a_row_of_version_5_says_goes_first():
    says = {"image": "hub/x:1", "eval_script": "#!/bin/bash\n", "log_parser": "parse_log_x", "eval_type": "fail_only"}
    task = one("swe-bench", test_patch=..., **says)
    assert {field: getattr(task, field) for field in says} == says


def test_django_runs_modules():
    ids = {"FAIL_TO_PASS": ["test_x (a.tests.T)", "A sentence for a name [50%] off"], "PASS_TO_PASS": "[]"}
    task = one("swe-bench", repo="django/django", instance_id="django__django-1", **ids)
    assert "--parallel 1 test_a test_b\n" in task.eval_script
    assert tuple(ids["FAIL_TO_PASS"]) == task.FAIL_TO_PASS
    assert task.log_parser == "parse_log_django"


def test_a_repository_that_is_not_in_the_table_is_told():
    assert one("swe-bench").repairs == (
        "own/lib is not in our table of test commands: its tests run with `pytest -rA`",
    )


def test_swe_gym():
    assert one("swe-gym").image == "xingyaoww/sweb.eval.x86_64.own_s_lib-7:latest"


def test_swe_smith_turns_the_patch_round():
    task = one(
        "swe-smith",
        instance_id="own__lib.abcdef12.lm_rewrite__x1",
        image_name="swesmith.x86_64.own__lib.abcdef12",
        base_commit=...,
        test_patch=...,
        problem_statement="",
    )
    assert task.bug_patch == GOLD
    assert apply_patch({"lib/a.py": "x = 2\n"}.get, task.patch) == {"lib/a.py": "x = 1\n"}
    assert (task.base_commit, task.kind) == ("abcdef12", "lm_rewrite")
    assert task.image == "jyangballin/swesmith.x86_64.own_1776_lib.abcdef12"
    assert "\npytest -rA tests/test_a.py\n" in task.eval_script
    assert len(task.repairs) == 3
    assert "tests/test_a.py::test_x" in task.problem_statement


def test_swe_rebench():
    config = {"test_cmd": "pytest --no-header -rA -p no:cacheprovider", "log_parser": "parse_log_pytest_v2"}
    task = one("swe-rebench", install_config=json.dumps(config), image_name="hub/reb:1", created_at=1700000000000)
    assert (task.image, task.log_parser) == ("hub/reb:1", "parse_log_pytest_v2")
    assert "\npytest --no-header -rA -p no:cacheprovider tests/test_a.py" in task.eval_script
    assert (task.created_at, task.repairs) == ("2023-11-14T22:13:20+00:00", ())
    bare = one("swe-rebench", install_config=None)
    assert bare.image == "swerebench/sweb.eval.x86_64.own_1776_lib-7"
    assert [repair.split(":")[0] for repair in bare.repairs] == [
        "its install_config names no test_cmd",
        "its image was missing",
    ]


def test_other_languages_are_counted():
    go = GOLD.replace("a.py", "a.go")
    imported = import_rows("swe-bench", [row(), row(instance_id="own__lib-8", patch=go)])
    assert (len(imported.tasks), imported.other_languages) == (1, 1)
    assert import_rows("swe-rebench", [row(language="rust")]).other_languages == 1
    assert import_rows("swe-rebench", [row(language="Python")]).other_languages == 0


@pytest.mark.parametrize(
    ("changes", "field", "value", "repair"),
    [
        ({"FAIL_TO_PASS": ..., "fail_to_pass": ["t.py::a"]}, "FAIL_TO_PASS", ("t.py::a",), "fail_to_pass was read as"),
        ({"patch": ..., "Patch": GOLD}, "patch", GOLD, "its field Patch was read as patch"),
        ({"PASS_TO_PASS": ["t.py::a", "[100%]"]}, "PASS_TO_PASS", ("t.py::a",), "held '[100%]', which is no test id"),
        ({"PASS_TO_PASS": ["t.py::a", ""]}, "PASS_TO_PASS", ("t.py::a",), "held ''"),
        ({"PASS_TO_PASS": ["t.py::a", "PASSED"]}, "PASS_TO_PASS", ("t.py::a",), "held 'PASSED'"),
        ({"PASS_TO_PASS": ["t.py::a", "t.py::a"]}, "PASS_TO_PASS", ("t.py::a",), "named 1 tests twice"),
        ({"PASS_TO_PASS": "['t.py::a']"}, "PASS_TO_PASS", ("t.py::a",), "Python's text of a list"),
        ({"PASS_TO_PASS": ["t.py::a[x"]}, "PASS_TO_PASS", ("t.py::a[x",), "1 ids in its PASS_TO_PASS are cut off"),
        ({"PASS_TO_PASS": ...}, "PASS_TO_PASS", (), "was missing and is taken as empty"),
        ({"PASS_TO_PASS": float("nan")}, "PASS_TO_PASS", (), "was missing and is taken as empty"),
        ({"PASS_TO_PASS": ["tests/test_a.py::test_x"]}, "PASS_TO_PASS", (), "1 tests stood in both lists"),
        ({"repo": ...}, "repo", "own/lib", "its repo was missing and comes from its instance_id"),
        ({"patch": GOLD[:-1]}, "patch", GOLD, "its patch lacked the last line feed"),
    ],
)
def test_what_is_mended_is_told(changes, field, value, repair):
    task = one("swe-gym", **changes)
    assert getattr(task, field) == value
    assert any(repair in said for said in task.repairs), task.repairs


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"instance_id": ...}, "row 1 (without an instance_id): instance_id is missing: add it"),
        ({"base_commit": None}, "row 1 (own__lib-7): base_commit is missing"),
        ({"problem_statement": " "}, "problem_statement is missing"),
        ({"patch": "not a diff"}, "patch is no diff"),
        ({"patch": "diff --git a/x.py b/x.py\nGIT binary patch\n"}, "patch cannot be read (x.py: binary files"),
        ({"test_patch": ...}, "test_patch is missing"),
        ({"FAIL_TO_PASS": ...}, "FAIL_TO_PASS is missing"),
        ({"FAIL_TO_PASS": "[broken"}, "FAIL_TO_PASS is no list of test ids"),
        ({"FAIL_TO_PASS": [1]}, "FAIL_TO_PASS is no list of test ids"),
        ({"FAIL_TO_PASS": ["[100%]"]}, "FAIL_TO_PASS names no test"),
        ({"problem_statement": ["a"]}, "problem_statement is a list: it must be text"),
        ({"repo": ..., "instance_id": "x"}, "repo is missing: the instance_id does not name it"),
    ],
)
def test_what_cannot_be_mended_is_refused_with_row_id_and_field(changes, told):
    with pytest.raises(TaskSetError) as caught:
        import_rows("swe-gym", [row(**changes)])
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    rest = import_rows("swe-gym", [row(**changes), row(instance_id="own__lib-9")], skip_bad=True)
    assert ([t.instance_id for t in rest.tasks], rest.bad) == (["own__lib-9"], [str(caught.value)])


def test_an_id_that_comes_twice_is_refused():
    with pytest.raises(TaskSetError, match=r"row 2 \(own__lib-7\): instance_id is that of an earlier row"):
        import_rows("swe-gym", [row(), row()])


def test_files_of_every_kind(tmp_path):
    rows = [row(), row(instance_id="own__lib-8")]
    texts = {
        "list.json": json.dumps(rows),
        "by_id.json": json.dumps({r["instance_id"]: r for r in rows}),
        "lines.jsonl": "\ufeff" + "\n\n".join(map(json.dumps, rows)),
        "list.jsonl": json.dumps(rows, indent=1),
        "lines.json": "\n".join(map(json.dumps, rows)),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert rows_of(str(tmp_path / name)) == rows, name
        assert rows_of(str(tmp_path / name), limit=1) == rows[:1]
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert rows_of(str(tmp_path / "rows.parquet")) == rows


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.jsonl", b'{"a": 1}\n{b', "a.jsonl, line 2: no JSON"),
        ("a.jsonl", b"3\n", "a.jsonl, line 1: no row"),
        ("a.parquet", b"no", "cannot be read as Parquet"),
        ("a.txt", b"\xff\xfe", "is not text in UTF-8"),
        ("none.jsonl", None, "there is no file"),
    ],
)
def test_files_that_hold_no_rows(tmp_path, name, data, told):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(TaskSetError, match=told):
        read_rows(tmp_path / name)


@pytest.mark.parametrize("parquet", [False, True])
def test_rows_come_back(tmp_path, profile, task, parquet):
    if parquet:
        pytest.importorskip("pyarrow")
    tasks = [task, one("swe-gym"), one("swe-gym", instance_id="own__lib-8", FAIL_TO_PASS=["t.py::\u00e9\u2028"])]
    path = tmp_path / "deep" / f"set.{'parquet' if parquet else 'jsonl'}"
    write_rows(tasks, path, parquet=parquet, profiles=[profile])
    assert load_rows(path, profiles=[profile]) == tasks
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    rows = {r["instance_id"]: r for r in read_rows(path)}
    assert "whole_files" not in rows["shop-1"]
    assert rows["shop-1"]["bug_patch"].count("\n+") == 2


line = st.text(st.sampled_from("ab \r\x0c"), max_size=3)
file = st.lists(line, max_size=12).map("\n".join)


@settings(deadline=None)
@given(old=st.none() | file, new=st.none() | file)
def test_a_patch_turned_round_undoes_it(old, new):
    patch = make_patch({"a b.py": old, "z": "1\n"}, {"a b.py": new, "z": "2\n"})
    back = {"a b.py": old, "z": "1\n"} if old != new else {"z": "1\n"}
    assert apply_patch({"a b.py": new, "z": "2\n"}.get, reverse(patch)) == back
    assert reverse(reverse(patch)) == patch


def test_git_agrees_on_a_rename_turned_round(tmp_path):
    def git(*words, text=None):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, input=text).stdout

    git("init", "-q")
    (tmp_path / "a.py").write_text("".join(f"{i}\n" for i in range(30)) + "last")
    (tmp_path / "b.py").write_text("b\n")
    git("add", ".")
    git("commit", "-qm", "before")
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    (tmp_path / "c.py").write_text("".join(f"{i}\n" for i in range(30) if i != 7) + "last\n")
    (tmp_path / "b.py").chmod(0o755)
    (tmp_path / "new.py").write_text("n\n")
    git("add", ".")
    patch = git("diff", "--cached", "-M")
    git("commit", "-qm", "after")
    git("apply", "-", text=reverse(patch))
    git("add", ".")
    assert git("diff", "--cached", "HEAD~1") == ""
