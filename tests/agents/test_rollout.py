"""Group rollouts: everything is closed, failures of ours are retried, cancellation leaves nothing."""

import asyncio

import pytest
from memory_sandbox import RIGHT, MemoryBackend, make_env, make_task

from agents.chat import Chat
from agents.engine import TransformersEngine
from agents.expert import ScriptedExpert
from agents.protocol import Sampling
from agents.rollout import rollout_groups
from agents.tool_agent import ToolAgent
from agents.toolformat import FORMATS
from envs.tools import Action


def script(task):
    yield Action("edit", {"path": "calc.py", "new": RIGHT})
    yield Action("submit")


def play(backend, tree, agent=None, tasks=("a", "b", "c"), group_size=4, concurrency=5, engine=None, **options):
    return rollout_groups(
        [make_task(name) for name in tasks],
        lambda task: make_env(backend, tree, max_turns=3),
        agent or ScriptedExpert(None, script),
        engine,
        group_size=group_size,
        concurrency=concurrency,
        **options,
    )


async def test_groups(tmp_path):
    backend, seen, steps = MemoryBackend(delay=0.001), [], []
    done = await play(
        backend,
        tmp_path,
        run="r",
        iteration=7,
        on_trajectory=seen.append,
        progress=lambda finished, total: steps.append((finished, total)),
    )
    assert [t.instance_id for t in done] == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert len({t.group for t in done}) == 3
    assert len({(t.group, t.instance_id) for t in done}) == 3
    assert all(t.resolved and t.run == "r" and t.iteration == 7 for t in done)
    assert sorted(t.id for t in seen) == sorted(t.id for t in done)
    assert steps == [(n, 12) for n in range(1, 13)]
    assert not backend.running
    assert 1 < backend.most <= 5 + 2  # five episodes, and the grader's two


async def test_the_same_task_twice_is_two_groups(tmp_path):
    done = await play(MemoryBackend(), tmp_path, tasks=("a", "a"), group_size=2)
    assert [done.count(t) for t in done] == [1] * 4
    assert len({t.group for t in done}) == 2


async def test_failures_of_ours_are_retried_and_at_last_returned_without_reward(tmp_path):
    backend, seen = MemoryBackend(failures=2), []
    done = await play(backend, tmp_path, tasks=("a",), group_size=1, on_trajectory=seen.append)
    assert [t.resolved for t in done] == [True]
    assert len(seen) == 1
    backend = MemoryBackend(failures=99)
    done = await play(backend, tmp_path, tasks=("a",), group_size=1, retries=1)
    assert [(t.status, t.reward) for t in done] == [("infra_error", None)]
    assert backend.failures == 97


async def test_only_what_is_missing_is_played(tmp_path):
    first = await play(MemoryBackend(), tmp_path, run="r", iteration=7)
    taken = [first[i] for i in (0, 5, 7, 8, 9, 10, 11)]
    other = first[1].model_copy(update={"group": "r/6/0/a"})
    backend, seen, steps, finished = MemoryBackend(), [], [], []
    done = await play(
        backend,
        tmp_path,
        run="r",
        iteration=7,
        taken=[*taken, other],
        on_trajectory=seen.append,
        on_finished=finished.append,
        progress=lambda finished, total: steps.append((finished, total)),
    )
    assert [t.group for t in done] == [t.group for t in first]
    assert {t.id for t in done} == {t.id for t in taken} | {t.id for t in finished} and len(finished) == 12 - 7
    assert [done[i] for i in (0, 5, 7, 8, 9, 10, 11)] == taken, "each in its own seat"
    assert seen == done, "in order, those that were there too"
    assert steps[0] == (8, 12) and steps[-1] == (12, 12)


async def test_what_is_told_is_in_order_however_long_episodes_take(tmp_path):
    class Slow(MemoryBackend):
        """The first episodes take longest."""

        async def start(self, *args, **kwargs):
            self.slow = getattr(self, "slow", 0) + 1
            await asyncio.sleep(0.05 / self.slow)
            return await super().start(*args, **kwargs)

    told, finished = [], []
    done = await play(Slow(), tmp_path, concurrency=12, on_trajectory=told.append, on_finished=finished.append)
    assert told == done and [t.extra["member"] for t in done] == [0, 1, 2, 3] * 3
    assert {t.id for t in finished} == {t.id for t in done} and finished != done


async def test_a_straggler_holds_no_batch(tmp_path):
    class Stuck(MemoryBackend):
        """The second sandbox never starts."""

        async def start(self, *args, **kwargs):
            self.begun = getattr(self, "begun", 0) + 1
            if self.begun == 2:
                await asyncio.sleep(99)
            return await super().start(*args, **kwargs)

    backend, told = Stuck(), []
    done = await play(backend, tmp_path, concurrency=12, seconds=3.0, on_trajectory=told.append)
    assert [t.extra["member"] for t in done] == [0, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3] and told == done
    assert not backend.running


async def test_rollouts_share_slots_and_the_first_comes_first(tmp_path):
    slots, order = asyncio.Semaphore(2), []
    backend = MemoryBackend(delay=0.001)
    both = [
        play(backend, tmp_path, concurrency=slots, run=run, on_finished=lambda t: order.append(t.run)) for run in "ab"
    ]
    await asyncio.gather(*both)
    assert order[:10] == ["a"] * 10 and len(order) == 24


async def test_cancellation_closes_every_environment(make_model, tokenizer, tmp_path):
    backend, seen = MemoryBackend(delay=0.002), []
    chat = Chat(tokenizer, FORMATS["xml"])
    engine = TransformersEngine(make_model(vocab_size=len(tokenizer)), set(), max_context=900)
    agent = ToolAgent(chat, Sampling(max_new_tokens=40))
    rollout = asyncio.create_task(
        play(backend, tmp_path, agent, engine=engine, group_size=8, on_trajectory=seen.append)
    )
    await backend.busy.wait()
    await asyncio.sleep(0.05)  # some are being sampled, some are in their sandboxes
    rollout.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rollout
    assert not backend.running
    assert len(seen) < 24
    again = await engine.generate("after", [5], Sampling(max_new_tokens=1))
    assert len(again.token_ids) == 1
    assert engine._batch.active == 0
    engine.close()


async def test_an_error_of_the_caller_ends_the_rollout(tmp_path):
    backend = MemoryBackend(delay=0.001)

    def full(trajectory):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await play(backend, tmp_path, on_trajectory=full)
    assert not backend.running


async def test_the_same_run_samples_the_same_tokens(make_model, tokenizer, tmp_path):
    async def once():
        chat = Chat(tokenizer, FORMATS["xml"])
        engine = TransformersEngine(make_model(vocab_size=len(tokenizer)), chat.stop_ids, max_context=900, seed=3)
        agent = ToolAgent(chat, Sampling(max_new_tokens=16))
        done = await play(MemoryBackend(delay=0.001), tmp_path, agent, engine=engine, run="r")
        engine.close()
        return done

    first, second = await once(), await once()
    assert [t.token_ids() for t in first] == [t.token_ids() for t in second]
    assert len({tuple(t.token_ids()) for t in first}) == 12
