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
        opened.add(made(2, verdict=Verdict(resolved=False), reward=0.0, policy_version=3, group="g", agent="tools"))
        opened.add(
            made(
                3,
                run="other",
                repo="q",
                base_commit="c0ffee",
                iteration=5,
                functions=["pkg/b.py::area"],
                files=["pkg/b.py"],
            )
        )
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
        (["--failed"], "2"),
        (["--graded"], "321"),
        (["--ungraded"], "4"),
        (["--base-commit", "c"], "421"),
        (["--base-commit", "c0f"], "3"),
        (["--iteration", "5"], "3"),
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
    assert "4 ids start with '0'" in refused("traj", "show", "0", "--store", store)


def test_stats_count_runs_repositories_reasons_and_what_is_shared(store):
    found = json.loads(contextrl("traj", "stats", "--json", "--store", store).stdout)
    quick, other = found["runs"]
    assert (quick["trajectories"], quick["resolved"], quick["graded"], quick["turns"]) == (3, 1, 2, 3)
    assert quick["tokens"] == 9
    assert quick["statuses"] == {"infra_error": 1, "submitted": 2}
    assert quick["filtered"] == {"all of the group have one reward": 1} and other["filtered"] == {}
    assert [(r["name"], r["trajectories"]) for r in found["repositories"]] == [("pkg", 3), ("q", 1)]
    assert (found["texts"]["texts"], found["texts"]["uses"]) == (5, 8)
    shown = contextrl("traj", "stats", "--store", store).stdout
    assert "5 in 0.0 MB, each used 1.6 times" in shown and "all of the group have one reward" in shown
    assert shown.splitlines()[1].split()[:4] == ["quick", "3", "50%", "1"], "half of the two that were graded"


def test_stats_take_the_filters_of_ls(store):
    found = json.loads(contextrl("traj", "stats", "--json", "--resolved", "--store", store).stdout)
    assert [(r["name"], r["trajectories"]) for r in found["runs"]] == [("quick", 1), ("other", 1)]
    ungraded = contextrl("traj", "stats", "--ungraded", "--repo", "pkg", "--store", store).stdout
    assert ungraded.splitlines()[1].split()[:4] == ["quick", "1", "-", "1"]
    assert (
        "No trajectory passes --repo q --failed."
        in contextrl("traj", "stats", "--repo", "q", "--failed", "--store", store).stdout
    )


def test_who_was_not_graded_is_called_so_everywhere(store):
    listed_ = contextrl("traj", "ls", "--store", store).stdout.splitlines()
    assert [line.split("  ")[0] for line in listed_ if "not graded" in line] == [made(4).id[:8]]
    rows = [json.loads(line) for line in contextrl("traj", "ls", "--json", "--store", store).stdout.splitlines()]
    assert [row["resolved"] for row in rows] == [None, True, False, True]
    assert "not graded" in contextrl("traj", "show", "04", "--store", store).stdout


def test_a_time_that_no_calendar_holds_does_not_end_the_list(store):
    with SQLStore(store) as opened:
        opened.add_many([made(5, created_at=1.76e12), made(6, created_at=1e300), made(7, created_at=-1e300)])
    shown = contextrl("traj", "ls", "--store", store)
    assert shown.exit_code == 0 and [n in shown.stdout for n in ("1.76e+12", " 1e+300", "-1e+300")] == [True] * 3
    assert contextrl("traj", "show", "05", "--store", store).exit_code == 0


@pytest.mark.parametrize("command", [("ls",), ("stats",), ("gc", "--dry-run"), ("export", "-o", "x.jsonl")])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--run", "Quik"), "there is no run 'Quik' in {store}; there: quick and 1 more"),
        (("--run", "nope"), "there: other, quick"),
        (("--repo", "pkq"), "there is no repository 'pkq' in {store}; there: pkg and 1 more"),
        (("--function", "nope"), "called 'nope'"),
        (("--file", "nope.py"), "called 'nope.py'"),
        (("--base-commit", "d"), "starts with 'd'"),
    ],
)
def test_a_name_that_the_store_does_not_know_is_told_with_near_ones(command, options, said, store):
    assert said.format(store=store) in refused("traj", *command, *options, "--store", store)


def test_what_matches_nothing_is_told_by_what_was_asked(store):
    asked = ("--run", "other", "--agent", "no body", "--failed", "--since", "1d")
    for command in (("ls",), ("stats",), ("gc", "--dry-run")):
        result = contextrl("traj", *command, *asked, "--store", store)
        assert result.exit_code == 0 and "--run other --failed --agent 'no body' --since 1d." in result.stdout


def test_a_run_that_has_a_name_and_no_trajectory_yet_is_known(store):
    with SQLStore(store) as opened:
        opened.claim_run("new")
    assert "No trajectory passes --run new." in contextrl("traj", "ls", "--run", "new", "--store", store).stdout


@pytest.mark.parametrize(
    "options", [("--limit", "9" * 25), ("--policy-version", "9" * 25), ("--iteration", "9" * 25), ("--limit", "-1")]
)
def test_a_number_that_is_too_large_is_told_with_its_option(options, store):
    result = contextrl("traj", "ls", *options, "--store", store)
    assert result.exit_code == 2 and f"Invalid value for '{options[0]}'" in result.stderr


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
