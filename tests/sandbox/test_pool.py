"""Leases and the warm pool."""

from __future__ import annotations

import asyncio

import pytest

from sandbox import Image, Limits, Pool, SandboxBackend, SandboxError, lease, owners

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _ours(backend: SandboxBackend) -> list[str]:
    """Other processes on this machine may have sandboxes too."""
    return [name for name in await backend.alive() if owners.is_ours(name)]


async def test_a_lease_ends_with_its_block(backend: SandboxBackend, image: Image) -> None:
    with pytest.raises(KeyError):
        async with lease(backend, image) as box:
            assert (await box.run("echo on")).stdout == "on\n"
            raise KeyError
    assert box.name not in await backend.alive()


async def test_never_more_leases_than_its_size(backend: SandboxBackend, image: Image) -> None:
    pool = Pool(backend, size=2)
    now = most = 0

    async def one() -> str:
        nonlocal now, most
        async with pool.lease(image) as box:
            now += 1
            most = max(most, now)
            await box.run("sleep 0.1")
            now -= 1
            return box.name

    names = await asyncio.gather(*(one() for _ in range(5)))
    assert most == 2
    assert len(set(names)) == 5
    await pool.close()


async def test_warm_sandboxes_are_fresh_and_gone_at_the_end(backend: SandboxBackend, image: Image) -> None:
    pool = Pool(backend, warm=2)
    names = []
    for _ in range(3):
        async with pool.lease(image) as box:
            assert (await box.run("ls /tmp; touch /tmp/x")).stdout == ""
            names.append(box.name)
    assert len(set(names)) == 3
    async with pool.lease(image, Limits(pids=50)) as box:
        assert box.name not in names
    await asyncio.sleep(1)
    assert len(await _ours(backend)) == 4
    await pool.close()
    assert await _ours(backend) == []
    with pytest.raises(SandboxError, match="closed"):
        async with pool.lease(image):
            pass


async def test_spares_of_images_no_longer_used_are_stopped(backend: SandboxBackend, image: Image) -> None:
    pool = Pool(backend, warm=1, images=1)
    for pids in (40, 41, 42):
        async with pool.lease(image, Limits(pids=pids)):
            pass
    await asyncio.sleep(1)
    assert len(await _ours(backend)) == 1
    await pool.close()


async def test_a_cancelled_lease_leaves_nothing(backend: SandboxBackend, image: Image) -> None:
    pool = Pool(backend)

    async def use() -> None:
        async with pool.lease(image):
            await asyncio.sleep(60)

    for delay in (0, 0.001, 0.01, 0.05):
        task = asyncio.create_task(use())
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await pool.close()
    assert await _ours(backend) == []
