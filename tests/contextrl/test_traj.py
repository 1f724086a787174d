"""`contextrl traj ls|show|stats|gc` on a real store."""

import json

import pytest
from test_cli import contextrl, refused

from trajectories.records import ToolCall, Trajectory, Turn, Verdict
from trajectories.store import SQLStore


def made(number: int, **fields) -> Trajectory:
    shown = "".join(f"{i}: a line of a file\n" for i in range(90))
    turn = Turn(tool_call=ToolCall(name="view"), observation=shown, prompt_ids=[1, 2], completion_ids=[3])
    values = {
        "id": f"{number:02}" + "0" * 30,
        "run": "quick",
        "instance_id": f"task-{number}",
        "repo": "pkg",
        "base_commit": "c",
        "problem_statement": f"wrong {number}",
        "turns": [turn],
        "files": ["pkg/a.py"],
        "functions": ["pkg/a.py::Shape.area"],
        "verdict": Verdict(resolved=True),
        "reward": 1.0,
        "created_at": 1e9 + number,
    }
    return Trajectory(**(values | fields))


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "store.db"
    with SQLStore(path) as opened:
        opened.add(made(1))
        opened.add(made(2, verdict=None, reward=0.0, policy_version=3, group="g", agent="tools"))
        opened.add(made(3, run="other", repo="q", functions=["pkg/b.py::area"], files=["pkg/b.py"]))
        opened.add(made(4, status="infra_error", verdict=None, reward=None, functions=[], files=[]))
        opened.mark_filtered([made(1).id], "all of the group have one reward")
    return str(path)


def listed(store, *options):
    result = contextrl("traj", "ls", "--json", "--store", store, *options)
    assert result.exit_code == 0, result.output
    return [json.loads(line)["instance_id"][-1] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], "4321"),
        (["--run", "quick"], "421"),
        (["--repo", "q"], "3"),
        (["--task", "task-2"], "2"),
        (["--file", "pkg/a.py"], "21"),
        (["--file", "b.py"], "3"),
        (["--function", "pkg/a.py::Shape.area"], "21"),
        (["--function", "Shape.area"], "21"),
        (["--function", "area", "--repo", "q"], "3"),
        (["--resolved"], "31"),
        (["--failed"], "42"),
        (["--policy-version", "3"], "2"),
        (["--group", "g"], "2"),
        (["--status", "infra_error"], "4"),
        (["--agent", "tools"], "2"),
        (["--filtered"], "1"),
        (["--used"], "432"),
        (["--min-reward", "0.5"], "31"),
        (["--max-reward", "0.5"], "2"),
        (["--since", "1d"], ""),
        (["--since", "2001-01-01"], "4321"),
        (["--limit", "2"], "43"),
    ],
)
def test_every_option_of_ls_narrows_the_list(options, found, store):
    assert listed(store, *options) == list(found)


def test_a_name_that_is_no_full_name_is_told(store):
    result = contextrl("traj", "ls", "--function", "Shape.area", "--store", store)
    assert result.stderr == "function: pkg/a.py::Shape.area\n"
    assert "all of the group have one reward" in result.stdout
    told = refused("traj", "ls", "--function", "area", "--store", store)
    assert "2 names (pkg/a.py::Shape.area, pkg/b.py::area)" in told
    assert "called 'nothing'" in refused("traj", "ls", "--function", "nothing", "--store", store)
    assert "is no time" in refused("traj", "ls", "--since", "yesterday", "--store", store)


def test_show_prints_all_and_why_it_was_not_used(store):
    shown = contextrl("traj", "show", "01", "--store", store).stdout
    assert "not learned from: all of the group have one reward" in shown
    result = contextrl("traj", "show", "01", "--json", "--store", store)
    assert Trajectory.model_validate_json(result.stdout) == made(1)
    assert "4 ids or more start with '0'" in refused("traj", "show", "0", "--store", store)


def test_stats_count_runs_repositories_reasons_and_what_is_shared(store):
    found = json.loads(contextrl("traj", "stats", "--json", "--store", store).stdout)
    quick, other = found["runs"]
    assert (quick["trajectories"], quick["resolved"], quick["turns"], quick["tokens"]) == (3, 1, 3, 9)
    assert quick["statuses"] == {"infra_error": 1, "submitted": 2}
    assert quick["filtered"] == {"all of the group have one reward": 1} and other["filtered"] == {}
    assert [(r["name"], r["trajectories"]) for r in found["repositories"]] == [("pkg", 3), ("q", 1)]
    assert (found["texts"]["texts"], found["texts"]["uses"]) == (5, 8)
    shown = contextrl("traj", "stats", "--store", store).stdout
    assert "5 in 0.0 MB, each used 1.6 times" in shown and "all of the group have one reward" in shown


def test_gc_says_what_would_go_asks_and_deletes(store):
    dry = contextrl("traj", "gc", "--run", "quick", "--dry-run", "--store", store)
    assert "3 trajectories and 0 pairs would go" in dry.stdout
    assert "add --yes" in contextrl("traj", "gc", "--run", "quick", "--store", store).stderr
    assert listed(store) == list("4321")
    assert contextrl("traj", "gc", "--infra-errors", "--run", "quick", "--yes", "--store", store).exit_code == 0
    assert listed(store) == list("321")
    result = contextrl("traj", "gc", "--run", "quick", "--yes", "--store", store)
    assert "2 trajectories and 0 pairs go" in result.stdout and "The database took" in result.stdout
    assert listed(store) == ["3"]
    assert json.loads(contextrl("traj", "stats", "--json", "--store", store).stdout)["texts"]["texts"] == 2
    assert contextrl("traj", "gc", "--older-than", "1d", "--yes", "--store", store).exit_code == 0
    assert listed(store) == []
    assert "no length of time" in refused("traj", "gc", "--older-than", "long", "--store", store)


def test_gc_without_options_deletes_no_trajectory(store):
    result = contextrl("traj", "gc", "--store", store)
    assert "0 texts and 0 contexts" in result.stdout
    assert listed(store) == list("4321")


def test_gc_says_that_a_run_is_being_trained(store):
    with SQLStore(store) as opened:
        opened.hold_run("quick")
    result = contextrl("traj", "gc", "--run", "quick", "--dry-run", "--store", store)
    assert "'quick' is being trained right now by process" in result.stderr
    assert contextrl("traj", "gc", "--run", "other", "--dry-run", "--store", store).stderr == ""
    assert "'quick'" in contextrl("traj", "gc", "--infra-errors", "--dry-run", "--store", store).stderr
    with SQLStore(store) as opened:
        opened.release_run("quick")
    assert contextrl("traj", "gc", "--run", "quick", "--dry-run", "--store", store).stderr == ""
