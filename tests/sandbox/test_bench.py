"""`sandbox.bench` and `sandbox.footprint`: what they measure is there, and nothing stays behind."""

import asyncio
import os

import pytest

from sandbox import footprint, owners
from sandbox.bench import crowd, measure, sample_image

on_one_loop = pytest.mark.asyncio(loop_scope="module")


@on_one_loop
async def test_every_call_is_measured_and_nothing_stays(backend):
    series, together = await measure(backend, sample_image(), rounds=3, boxes=2)
    assert [len(each.values) for each in series] == [3] * 6
    assert all(0 < each.least <= each.median for each in series)
    by_name = {each.name: each for each in series}
    assert by_name["start"].least < by_name["start to first command"].median
    assert by_name["lease"].median < by_name["start"].median, "the pool had nothing ready"
    assert together.shell_rate.least > 0
    assert together.program_rate.least > 0
    left = [name for name in await backend.alive() if backend.name == "remote" or owners.is_ours(name)]
    assert left == []


@on_one_loop
async def test_memory_is_that_of_the_sandboxes(backend):
    if os.geteuid() != 0:
        pytest.skip("only root sees the memory of other users' processes")
    together = await crowd(backend, sample_image(), 3, 1)
    assert together.resident_mb is not None
    assert 1.0 < together.resident_mb < 64.0, "a sandbox has a Python interpreter and a shell, and not much more"


async def test_descendants_are_found_at_any_depth():
    process = await asyncio.create_subprocess_exec("bash", "-c", "sleep 60 & wait", start_new_session=True)
    try:
        for _ in range(100):
            below = footprint.descendants([process.pid])
            if len(below) == 2:
                break
            await asyncio.sleep(0.01)
        assert len(below) == 2
        assert below | {os.getpid()} <= footprint.descendants([os.getpid()])
    finally:
        os.killpg(process.pid, 9)
        await process.wait()


def test_a_process_that_is_gone_takes_no_memory():
    assert footprint.resident_mb([2**22 + 1]) == 0.0
    assert footprint.resident_mb([os.getpid()]) > 1.0
