"""Iterations are learned from in order, never by weights that are newer than `ahead` versions."""

import asyncio

import pytest

from agents.gate import Gate
from agents.protocol import Completion, Sampling
from contextrl.overlap import overlap


class Fake:
    """Rollouts that take as long as they are told to, and a learner; what happened, in order."""

    def __init__(self, seconds=(), learning=0.01):
        self.version, self.seconds, self.learning = 0, dict(enumerate(seconds)), learning
        self.log, self.began, self.cancelled = [], {}, []

    async def play(self, iteration):
        self.began[iteration] = self.version
        self.log.append(("play", iteration))
        try:
            await asyncio.sleep(self.seconds.get(iteration, 0.0))
        except asyncio.CancelledError:
            self.cancelled.append(iteration)
            raise
        return iteration

    async def learn(self, iteration, played):
        assert played == iteration == self.version
        await asyncio.sleep(self.learning)
        self.version += 1
        self.log.append(("learn", iteration))
        return True


@pytest.mark.parametrize("ahead", [0, 1, 2])
async def test_order_and_staleness(ahead):
    fake = Fake([0.03, 0.0, 0.02, 0.0, 0.01])
    await overlap(0, 5, fake.play, fake.learn, ahead=ahead)
    assert [i for what, i in fake.log if what == "learn"] == list(range(5))
    assert [i for what, i in fake.log if what == "play"] == list(range(5))
    assert {i: i - version for i, version in fake.began.items()} == {i: min(i, ahead) for i in range(5)}
    if not ahead:
        assert fake.log == [(what, i) for i in range(5) for what in ("play", "learn")]


async def test_what_was_played_ahead_is_ended_when_it_is_enough():
    fake = Fake([0.0, 9.0, 9.0])

    async def once(iteration, played):
        return False

    await asyncio.wait_for(overlap(0, 3, fake.play, once, ahead=2), 1.0)
    assert fake.cancelled == [1, 2]


async def test_what_a_rollout_raises_is_raised_and_the_others_end():
    fake = Fake([0.0, 0.0, 9.0])

    async def play(iteration):
        if iteration == 1:
            raise OSError("disk full")
        return await fake.play(iteration)

    with pytest.raises(OSError, match="disk full"):
        await asyncio.wait_for(overlap(0, 3, play, fake.learn, ahead=2), 1.0)
    assert fake.cancelled == [2] and fake.version == 1


class Engine:
    """Samples for a while; its weights must not change meanwhile."""

    max_context = 10

    def __init__(self):
        self.version, self.inside = 0, 0

    async def generate(self, session, token_ids, sampling):
        self.inside += 1
        began = self.version
        await asyncio.sleep(0.01)
        self.inside -= 1
        assert began == self.version
        return Completion([], [], "stop", self.version)

    async def close_session(self, session):
        pass

    def update_weights(self, version):
        assert not self.inside
        self.version = version


async def test_weights_change_between_turns_while_episodes_go_on():
    gate, versions = Gate(Engine()), []

    async def episode(name):
        for _ in range(10):
            versions.append((await gate.generate(name, [1], Sampling())).version)

    episodes = [asyncio.create_task(episode(str(i))) for i in range(5)]
    for version in (1, 2, 3):
        await asyncio.sleep(0.015)
        await gate.publish(version)
    await asyncio.gather(*episodes)
    assert len(versions) == 50 and versions == sorted(versions) and set(versions) == {0, 1, 2, 3}


async def test_a_turn_that_was_given_up_holds_no_update():
    gate = Gate(Engine())
    turn = asyncio.create_task(gate.generate("s", [1], Sampling()))
    await asyncio.sleep(0.001)
    publish = asyncio.create_task(gate.publish(1))
    await asyncio.sleep(0.001)
    gate._engine.inside = 0
    turn.cancel()
    await asyncio.wait_for(publish, 1.0)
    assert gate.version == 1
