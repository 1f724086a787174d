"""One run for each different question."""

import asyncio
import gc

import pytest

from envs.grading.once import Once


async def test_a_failure_is_no_answer_and_is_told_to_who_waits():
    once, runs = Once[int](2), []

    async def run():
        runs.append(1)
        await asyncio.sleep(0)
        if len(runs) == 1:
            raise ValueError("broken")
        return len(runs)

    told = await asyncio.gather(*(once.answer("a", run) for _ in range(3)), return_exceptions=True)
    assert [str(one) for one in told] == ["broken"] * 3 and len(runs) == 1
    assert [await once.answer("a", run) for _ in range(2)] == [2, 2]


async def test_a_failure_whose_asker_is_gone_says_nothing():
    once, heard, begun = Once[int](1), [], asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))

    async def run():
        begun.set()
        await asyncio.sleep(0.01)
        raise ValueError("broken")

    asking = asyncio.create_task(once.answer("a", run))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(0.05)
    gc.collect()
    assert heard == []
