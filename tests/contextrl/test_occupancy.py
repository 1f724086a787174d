"""What a rollout waited for adds up, and sandboxes are counted while they are alive."""

import asyncio

import pytest

from agents.protocol import Sampling
from contextrl.occupancy import WaitedEngine, WaitedGrader, counted, split
from sandbox.owners import new_name
from sandbox.protocol import SandboxError
from trajectories.records import Trajectory


def played(*seconds):
    return [Trajectory(instance_id="i", repo="r", base_commit="c", problem_statement="", seconds=s) for s in seconds]


def test_the_parts_of_a_rollout_add_up():
    found = split(10.0, 4.0, played(20.0, 12.0), engine_waited=8.0, grader_waited=6.0)
    assert found == pytest.approx({"sampling": 4.0, "sandbox": 4.5, "grading": 1.5})
    assert split(10.0, 4.0, [], 0.0, 0.0) == {"sampling": 4.0, "sandbox": 6.0, "grading": 0.0}
    assert split(3.0, 4.0, played(1.0), 5.0, 1.0) == {"sampling": 4.0, "sandbox": 0.0, "grading": 0.0}


class Slow:
    version, max_context = 3, 100

    async def generate(self, session, token_ids, sampling):
        await asyncio.sleep(0.05)
        return session, token_ids

    async def grade(self, task, profile, patch):
        await asyncio.sleep(0.05)
        raise SandboxError(patch)


async def test_waiting_is_that_of_all_episodes_together_however_it_ends():
    engine, grader = WaitedEngine(Slow()), WaitedGrader(Slow())
    answers = await asyncio.gather(*(engine.generate(s, [1], Sampling()) for s in "abcd"))
    assert answers[2] == ("c", [1]) and (engine.version, engine.max_context) == (3, 100)
    with pytest.raises(SandboxError, match="p"):
        await grader.grade(None, None, "p")
    assert 0.2 <= engine.waited < 0.4 and 0.05 <= grader.waited < 0.1


class Backend:
    name = "local"

    def __init__(self, *answers):
        self.answers = list(answers)

    async def alive(self):
        answer = self.answers.pop(0) if self.answers else self.last
        if answer is None:
            raise SandboxError("gone")
        self.last = answer
        return [*(new_name() for _ in range(answer)), "contextrl-1-1-0", "somebody-elses"]


async def test_only_ours_are_counted_and_who_cannot_be_asked_is_asked_again(monkeypatch):
    monkeypatch.setattr("contextrl.occupancy.EVERY_S", 0.01)
    async with counted(Backend(2, None, 6)) as found:
        assert found == {}
        await asyncio.sleep(0.2)
    assert found["most"] == 6 and 2 < found["mean"] < 6


async def test_a_block_that_is_over_at_once_has_counted_nothing():
    async with counted(Backend(1)) as found:
        pass
    assert found == {}
