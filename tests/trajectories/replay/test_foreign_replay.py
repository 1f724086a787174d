"""Runs of SWE-agent, mini-swe-agent and OpenHands, made here, written in their formats, read again and replayed."""

import asyncio

import pytest
from replay_ground import with_turn
from scaffold_runs import RUNS, foreign_run

from sandbox import open_backend
from trajectories.records import ToolCall, Turn
from trajectories.replay.foreign import ForeignStage
from trajectories.replay.replaying import Replay
from trajectories.replay.tasks import Ground

SCAFFOLDS = list(RUNS)


async def replayed(trajectory, backend, profile, task, **options):
    replay = Replay(trajectory, ForeignStage(trajectory, Ground(task, profile), backend))
    try:
        await replay.open()
        await replay.run(**options)
        return await replay.finish()
    finally:
        await replay.close()


@pytest.mark.parametrize("name", SCAFFOLDS)
async def test_nothing_differs_in_either_backend(name, either, profile, task, tmp_path):
    trajectory = await foreign_run(name, either, profile, task, tmp_path)
    report = await replayed(trajectory, either, profile, task)
    told = [(s.number, s.action, s.differs, s.expected, s.got, s.expected_exit, s.exit) for s in report.divergences]
    assert told == []
    unplayed = [step.action.split()[0] for step in report.unplayed]
    assert unplayed == (["browser"] if name == "openhands" else [])
    assert report.verdict is not None and report.verdict.resolved and report.verdict_same is None


@pytest.fixture(scope="session")
def runs(profile, task, tmp_path_factory):
    """One run of each scaffold, played in the local backend."""

    async def play():
        backend = await open_backend("local")
        try:
            return {n: await foreign_run(n, backend, profile, task, tmp_path_factory.mktemp(n)) for n in SCAFFOLDS}
        finally:
            await backend.close()

    return asyncio.run(play())


def compared(trajectory):
    """Turns whose answers are those of a command or an editor."""
    return [n for n, turn in enumerate(trajectory.turns, 1) if turn.tool_call.name in ("bash", "str_replace_editor")]


@pytest.mark.parametrize("name", SCAFFOLDS)
async def test_another_output_is_named_at_its_step(name, runs, backend, profile, task):
    """At every step at once: each must be found, and no other."""
    run = runs[name]
    places = [n for n in compared(run) if run.turns[n - 1].observation][::2]
    other = run
    for n in places:
        said = run.turns[n - 1].observation
        cut = said.rindex("</output") if "</output" in said else said.find("\n(Open file")
        cut = len(said) if cut < 0 else cut
        other = with_turn(other, n, observation=f"{said[:cut]}\nanother line{said[cut:]}")
    report = await replayed(other, backend, profile, task)
    assert [step.number for step in report.divergences] == places
    assert all(step.differs == ["observation"] and "another line" in step.expected for step in report.divergences)


@pytest.mark.parametrize("name", ["mini-swe-agent", "openhands"])
async def test_another_exit_code_is_named_at_its_step(name, runs, backend, profile, task):
    run = runs[name]
    places = [n for n, turn in enumerate(run.turns, 1) if turn.exit_code is not None][1::3]
    other = run
    for n in places:
        other = with_turn(other, n, exit_code=99)
    report = await replayed(other, backend, profile, task)
    assert {step.number: step.differs for step in report.divergences} == {n: ["exit_code"] for n in places}


@pytest.mark.parametrize("name", SCAFFOLDS)
async def test_another_file_shows_in_the_patch_and_in_the_verdict(name, runs, backend, profile, task):
    """An edit that says the same and does something else: trees were not recorded, the patch was."""
    number = next(
        n for n, turn in enumerate(runs[name].turns, 1) if "sed" in turn.tool_call.arguments.get("command", "")
    )
    other = with_turn(runs[name], number, tool_call=ToolCall(name="bash", arguments={"command": "true"}))
    report = await replayed(other, backend, profile, task)
    assert report.divergences[-1].number == len(other.turns) and report.divergences[-1].differs == ["patch"]
    assert not report.verdict.resolved
    stopped = await replayed(other, backend, profile, task, stop_at_divergence=True)
    assert stopped.stopped_at == report.diverged_at and stopped.verdict is None


async def test_what_cannot_be_done_again_is_said_at_its_step(runs, backend, profile, task):
    calls = [
        ToolCall(name="bash", arguments={"command": "y", "is_input": "true"}),
        ToolCall(name="bash", arguments={"command": ""}),
        ToolCall(name="str_replace_editor", arguments={"command": "create", "path": "/home/x.py", "file_text": ""}),
        ToolCall(name="str_replace_editor", arguments={"command": "view", "path": "/etc/passwd"}),
        ToolCall(name="execute_ipython_cell", arguments={"code": "1"}),
    ]
    turns = [Turn(tool_call=call, observation="something", exit_code=1) for call in calls]
    run = runs["openhands"].model_copy(update={"turns": turns, "patch": ""})
    report = await replayed(run, backend, profile, task, to=5)
    assert [step.not_replayed for step in report.steps] == [
        "it is input to a command that runs, not a command",
        "it is input to a command that runs, not a command",
        "/home/x.py cannot be written in a sandbox",
        "/etc/passwd lies outside of the repository",
        "there is no execute_ipython_cell here",
    ]
    assert report.diverged_at is None and all(step.not_compared for step in report.steps)


async def test_what_the_scaffold_refused_to_run_is_not_run(runs, backend, profile, task):
    call = ToolCall(name="bash", arguments={"command": "touch a\ntouch b"})
    said = "ERROR: Cannot execute multiple commands at once.\nPlease run each command separately"
    turns = [Turn(tool_call=call, observation=said)]
    report = await replayed(runs["openhands"].model_copy(update={"turns": turns, "patch": ""}), backend, profile, task)
    assert report.steps[0].diff == "" and report.steps[0].same and "observation" in report.steps[0].not_compared
