"""Episodes of our own agents, done again: nothing differs, or it is named at its exact step."""

import asyncio

import pytest
from replay_ground import BROKEN, FILES, REPAIR, SCRIPT, profile_of, record, replayed, with_turn, write_tree

from envs.tools import Action
from trajectories.records import ToolCall

TURNS = range(1, len(SCRIPT) + 1)


def differing(report):
    return {step.number: step.differs for step in report.divergences}


async def test_an_episode_is_the_same_in_both_backends(either, episode, profile, task):
    report = await replayed(episode, either, profile, task)
    assert differing(report) == {} and report.diverged_at is None and report.agrees
    assert [step.likeness for step in report.steps] == ["exact"] * len(SCRIPT)
    assert not any(step.not_compared or step.not_replayed for step in report.steps)
    assert [step.exit for step in report.steps] == [None, None, 1, None, None, None, 0, None]
    assert report.verdict.resolved and report.verdict_same and report.stopped_at is None
    assert report.steps[-1].diff == episode.patch and report.steps[0].diff == ""
    assert report.backend == either.name and report.image.startswith("lengths-")


@pytest.mark.parametrize("number", TURNS)
async def test_another_output_is_named_at_its_step(number, backend, episode, profile, task):
    said = episode.turns[number - 1].observation
    report = await replayed(with_turn(episode, number, observation=said + "one line more\n"), backend, profile, task)
    assert differing(report) == {number: ["observation"]} and report.diverged_at == number
    assert "one line more" in report.steps[number - 1].expected and "one line" not in report.steps[number - 1].got


@pytest.mark.parametrize("number", TURNS)
async def test_another_exit_code_is_named_at_its_step(number, backend, episode, profile, task):
    report = await replayed(with_turn(episode, number, exit_code=77), backend, profile, task)
    assert differing(report) == {number: ["exit_code"]}
    assert report.steps[number - 1].expected_exit == 77 and report.steps[number - 1].exit != 77


@pytest.mark.parametrize("number", TURNS)
async def test_another_tree_is_named_at_its_step(number, backend, episode, profile, task):
    report = await replayed(with_turn(episode, number, tree="0" * 64, diff="the diff of then"), backend, profile, task)
    assert differing(report) == {number: ["tree"]} and report.steps[number - 1].expected_diff == "the diff of then"


@pytest.mark.parametrize("number", (5, 6))
async def test_an_edit_that_comes_out_otherwise_stays_so(number, backend, episode, profile, task):
    """A file that differs shows in the tree from its step on, though nobody looks at it."""
    call = SCRIPT[number - 1]
    other = ToolCall(name=call.name, arguments={**call.arguments, "new": call.arguments["new"] + " # 2"})
    report = await replayed(with_turn(episode, number, tool_call=other), backend, profile, task)
    assert report.diverged_at == number and all("tree" in step.differs for step in report.steps[number - 1 :])
    stopped = await replayed(
        with_turn(episode, number, tool_call=other), backend, profile, task, stop_at_divergence=True
    )
    assert stopped.stopped_at == number and len(stopped.steps) == number and stopped.verdict is None


@pytest.mark.parametrize(("path", "first"), [("lengths/units.py", 1), ("tests/test_units.py", 1), ("README.md", 1)])
async def test_a_repository_that_is_not_the_one_of_then_shows_at_once(path, first, backend, episode, task, tmp_path):
    """Also where the file is not looked at."""
    tree = write_tree(tmp_path / "tree")
    (tree / path).write_text(FILES[path] + "\n")
    report = await replayed(episode, backend, profile_of(tree), task)
    differs = path != "lengths/units.py"  # the task shows this one as it was
    assert report.diverged_at == (first if differs else None)


async def test_a_verdict_that_comes_out_otherwise(backend, episode, profile, task):
    test = task.FAIL_TO_PASS[0]
    verdict = episode.verdict.model_copy(update={"resolved": False, "fail_to_pass": {test: "failed"}})
    report = await replayed(episode.model_copy(update={"verdict": verdict}), backend, profile, task)
    assert report.diverged_at is None and report.verdict_same is False and not report.agrees
    assert report.verdict_differs == ["resolved: no then, yes now", f"{test}: failed then, passed now"]


async def test_what_was_not_recorded_is_not_compared_and_said(backend, profile, task):
    episode = await record(backend, profile, task, record_diffs=False)
    report = await replayed(episode, backend, profile, task)
    assert differing(report) == {} and all(step.not_compared == ["tree"] for step in report.steps)
    assert report.steps[-1].diff == episode.patch and len(report.steps[-1].tree) == 64


async def test_the_patch_stands_in_for_trees_that_were_not_recorded(backend, profile, task):
    episode = await record(backend, profile, task, record_diffs=False)
    other = episode.model_copy(update={"patch": episode.patch.replace("were", "was")})
    assert differing(await replayed(other, backend, profile, task)) == {len(SCRIPT): ["patch"]}


async def test_a_turn_that_was_no_call_is_answered_as_then(backend, episode, profile, task):
    wrong = ToolCall(name="", error="no tool call was found")
    turns = [episode.turns[0].model_copy(update={"tool_call": wrong, "observation": "error: no tool call was found"})]
    report = await replayed(episode.model_copy(update={"turns": [*turns, *episode.turns[1:]]}), backend, profile, task)
    assert differing(report) == {} and report.steps[0].action == "no call"


async def test_out_of_turns(either, profile, task):
    episode = await record(either, profile, task, SCRIPT[:5], max_turns=5)
    assert episode.status == "truncated" and episode.turns[-1].diff == task.patch
    report = await replayed(episode, either, profile, task)
    assert differing(report) == {} and report.verdict is None and report.verdict_same is None


async def test_an_episode_that_died_is_replayed_as_far_as_it_went(backend, episode, profile, task):
    dead = episode.model_copy(
        update={"status": "infra_error", "turns": episode.turns[:5], "verdict": None, "extra": {"error": "no space"}}
    )
    report = await replayed(dead, backend, profile, task)
    assert differing(report) == {} and len(report.steps) == 5 and report.verdict is None
    assert report.note == "The episode died for a reason of ours: no space."


async def test_up_to_a_step(backend, episode, profile, task):
    report = await replayed(episode, backend, profile, task, to=5)
    assert report.stopped_at == 5 and len(report.steps) == 5 and report.verdict is None and report.agrees


async def test_turns_beyond_the_end_are_not_replayed(backend, episode, profile, task):
    more = episode.model_copy(update={"turns": [*episode.turns, episode.turns[0]]})
    report = await replayed(more, backend, profile, task)
    assert [step.number for step in report.unplayed] == [len(SCRIPT) + 1] == list(differing(report))


async def test_long_observations_are_cut_as_then(backend, profile, task):
    script = (Action("edit", {"path": "long.txt", "new": "x = 1\n" * 400}), Action("view", {"path": "long.txt"}))
    episode = await record(backend, profile, task, (*script, REPAIR), max_observation_chars=500)
    assert "left out" in episode.turns[1].observation and episode.extra["environment"]["max_observation_chars"] == 500
    report = await replayed(episode, backend, profile, task)
    assert differing(report) == {}


async def test_no_sandbox_is_left(backend, episode, profile, task):
    await asyncio.gather(*(replayed(episode, backend, profile, task) for _ in range(2)))
    assert await backend.alive() == []


def test_the_ground_is_as_it_says():
    assert FILES["lengths/units.py"] != BROKEN
