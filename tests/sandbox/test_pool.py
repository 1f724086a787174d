"""The warm pool: exactly, on a fake backend in virtual time, and then on the real ones."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fake_backend import FakeBackend
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import in_virtual_time

from sandbox import Image, Limits, Pool, SandboxBackend, SandboxError, lease, owners

A, B, C = (Image(name, Path(name)) for name in "abc")
Scenario = Callable[[Pool, FakeBackend], Awaitable[None]]


def play(scenario: Scenario, **options: object) -> None:
    """On two processors. At the end everything that was started must be gone."""

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        backend = FakeBackend()
        pool = Pool(backend, **{"size": 8, "starts": 4, **options})  # type: ignore[arg-type]
        await scenario(pool, backend)
        await pool.close()
        assert (backend.living, backend.starting, pool.stats.waiting) == (set(), 0, 0)
        assert backend.started == backend.stopped
        assert len(asyncio.all_tasks()) == 2, "a task was left behind"  # this one, and that which waits for it

    problems: list[object] = []
    in_virtual_time(whole())
    gc.collect()  # errors that nobody fetched are told when their tasks go
    assert problems == []


def now() -> float:
    return asyncio.get_running_loop().time()


async def one(pool: Pool, image: Image = A, seconds: float = 1.0, limits: Limits | None = None) -> float:
    """Lease, use, end; how long it took to get."""
    began = now()
    async with pool.lease(image, limits) as box:
        waited = now() - began
        await box.run("true")
        await asyncio.sleep(seconds)
        await box.run("true")
    return waited


async def together(*leases: Awaitable[float]) -> list[float]:
    return list(await asyncio.gather(*leases))


def test_the_first_lease_waits_for_a_start_and_the_next_does_not():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        assert [await one(pool) for _ in range(3)] == pytest.approx([0.2, 0, 0])
        assert (pool.stats.hits, pool.stats.misses, pool.stats.refills) == (2, 1, 3)
        assert backend.most == 3  # in use, being removed, spare

    play(scenario)


def test_every_sandbox_is_handed_out_once():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        names = []
        for _ in range(20):
            async with pool.lease(A) as box:
                names.append(box.name)
        assert len(set(names)) == 20

    play(scenario)


def test_kinds_do_not_stand_for_each_other():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        kinds = [(A, Limits(), False), (A, Limits(), True), (A, Limits(pids=9), False), (B, Limits(), False)]
        for image, limits, network in kinds * 3:
            async with pool.lease(image, limits, network=network) as box:
                assert box.kind == (image, limits, network)
            await asyncio.sleep(1)
        assert pool.stats.misses == 4

    play(scenario)


def test_few_tasks_keep_few_spares():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        for _ in range(50):
            await one(pool)
        assert pool.stats.spares == 1
        assert backend.started == 51

    play(scenario)


def test_a_storm_on_a_cold_pool_is_served_in_order_and_by_few_starts_at_a_time():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        waited = await together(*(one(pool, seconds=5) for _ in range(32)))
        assert waited == sorted(waited)
        assert waited == pytest.approx([0.2 * (1 + number // 4) for number in range(32)])
        assert backend.most_starting == 4
        await asyncio.sleep(2)
        assert pool.stats.spares == 4  # a storm may not come again

    play(scenario, size=32)


def test_storms_that_come_again_find_everything_ready():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        late = []
        for _ in range(5):
            late.append(sum(waited > 0 for waited in await together(*(one(pool, seconds=5) for _ in range(32)))))
            await asyncio.sleep(20)
        assert late == [32, 28, 24, 16, 0]
        assert backend.most <= 64

    play(scenario, size=32)


def test_a_steady_stream_waits_for_nothing_with_as_many_spares_as_a_refill_lasts():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        streams = []
        for _ in range(200):  # ten a second, so two while one refill takes
            streams.append(asyncio.create_task(one(pool, seconds=0.3)))
            await asyncio.sleep(0.1)
        assert max((await together(*streams))[20:]) == 0
        await asyncio.sleep(1)
        assert pool.stats.spares <= 4

    play(scenario, size=16)


def test_spares_that_nobody_takes_go_and_so_does_what_is_known_of_their_kind():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        await together(*(one(pool) for _ in range(8)))
        await asyncio.sleep(10)
        assert pool.stats.spares == 4
        await asyncio.sleep(60)
        assert backend.living == set()
        asked = backend.asked
        await asyncio.sleep(3600)
        assert backend.asked == asked
        assert not pool._stock.kinds

    play(scenario, idle_s=60)


def test_of_more_spares_than_are_used_those_that_are_not_go():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        await together(*(one(pool) for _ in range(8)))
        for _ in range(100):
            await one(pool)
            await asyncio.sleep(1)
        assert pool.stats.spares == 1
        assert pool.stats.misses == 8

    play(scenario, idle_s=60)


def test_a_fixed_number_is_kept():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        await together(*(one(pool) for _ in range(8)))
        await asyncio.sleep(4000)
        assert pool.stats.spares == 3
        assert backend.started == 11

    play(scenario, warm=3)


def test_none_are_kept_when_none_are_wanted():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        await together(*(one(pool) for _ in range(8)))
        await asyncio.sleep(1)
        assert backend.started == backend.stopped == 8
        assert pool.stats.refills == 0

    play(scenario, warm=0)


def test_never_more_leases_than_its_size_and_a_removal_counts():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        backend.stop_s = 10.0
        assert await together(*(one(pool) for _ in range(3))) == pytest.approx([0.2, 0.2, 11.4])

    play(scenario, size=2, warm=0)


def test_places_are_given_in_the_order_in_which_they_were_asked_for_whatever_the_kind():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        order = []

        async def queue(image: Image) -> None:
            async with pool.lease(image):
                order.append(image.name)
                await asyncio.sleep(1)

        await asyncio.gather(*(queue(image) for image in (A, A, A, B, A, A, C, A)))
        assert order == ["a", "a", "a", "b", "a", "a", "c", "a"]

    play(scenario, size=1)


def test_starts_are_made_in_the_order_in_which_leases_asked_whatever_the_kind():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        order = []

        async def queue(image: Image) -> None:
            async with pool.lease(image):
                order.append(image.name)

        for image in (A, A, B, A, C, B):
            asyncio.create_task(queue(image))  # noqa: RUF006 (`play` sees that none is left)
            await asyncio.sleep(0.01)
        await asyncio.sleep(10)
        assert order == ["a", "a", "b", "a", "c", "b"]

    play(scenario, starts=1, warm=0)


def test_the_least_recently_used_kind_gives_way():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        for image in (A, B, A, C):
            await one(pool, image)
            await asyncio.sleep(1)
        assert sorted(box.kind[0].name for box in backend.living) == ["a", "c"]
        assert backend.most <= 4

    play(scenario, size=2)


def test_many_kinds_are_not_remembered_for_ever():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        kinds = [Image(f"{number}", Path("tree")) for number in range(50)]
        for kind in kinds:
            await one(pool, kind)
        assert len(pool._stock.kinds) <= 4
        await together(*(one(pool, kind) for kind in kinds))
        assert len(pool._stock.kinds) <= 4
        assert backend.most <= 4

    play(scenario, size=2)


@pytest.mark.parametrize("warm", [None, 2])
def test_a_spare_is_replaced_at_half_of_its_life(warm: int | None):
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        limits = Limits(lease_s=100)
        for _ in range(20):
            await one(pool, limits=limits, seconds=30)
        births = {box.name: now() for box in backend.living}
        await asyncio.sleep(51)
        assert not births.keys() & {box.name for box in backend.living}
        assert pool.stats.spares == (warm or 0)  # nobody asked meanwhile

    play(scenario, warm=warm)


def test_a_spare_that_died_is_not_handed_out():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        await one(pool)
        await asyncio.sleep(1)
        (spare,) = backend.living
        spare.channel.ended = True
        async with pool.lease(A) as box:
            assert box.name != spare.name
        assert pool.stats.misses == 2

    play(scenario)


def test_a_failed_start_is_raised_to_the_lease_that_waits_for_it_and_to_no_other():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        backend.errors.extend([None, SandboxError("no space"), None, None, OSError("broken pipe")])
        found = await asyncio.gather(*(one(pool) for _ in range(6)), return_exceptions=True)
        told = {place: str(error) for place, error in enumerate(found) if isinstance(error, SandboxError)}
        # Those that were first are served by the starts that are under way.
        assert told == {4: "no space", 5: "a sandbox of image a could not be started: broken pipe"}
        assert pool.stats.failed == 2
        assert pool.stats.last_failure == ""

    play(scenario, warm=0)


def test_an_error_is_not_told_to_a_lease_that_another_start_is_for(caplog: pytest.LogCaptureFixture):
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        backend.errors.append(SandboxError("no space"))
        gives_up, patient = [asyncio.create_task(one(pool)) for _ in range(2)]
        await asyncio.sleep(0.1)
        gives_up.cancel()
        assert await patient == pytest.approx(0.2)
        assert (pool.stats.failed, pool.stats.last_failure) == (1, "no space")

    play(scenario)
    assert caplog.messages == ["a spare sandbox of image a could not be started: no space"]


def test_a_spare_that_could_not_be_started_is_tried_again_later_and_later(caplog: pytest.LogCaptureFixture):
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        backend.errors.extend([None, *(SandboxError("the engine is gone") for _ in range(4))])
        await one(pool, seconds=0)
        await asyncio.sleep(1)
        assert (backend.asked, pool.stats.last_failure) == (3, "the engine is gone")
        await asyncio.sleep(2)
        assert backend.asked == 4
        await asyncio.sleep(10)
        assert (backend.asked, pool.stats.spares) == (6, 1)

    play(scenario)
    assert caplog.messages[0] == "a spare sandbox of image a could not be started: the engine is gone"


def test_a_lease_does_not_wait_for_the_next_try():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        backend.errors.extend([None, *(SandboxError("gone") for _ in range(6))])
        await one(pool, seconds=0)
        await asyncio.sleep(10)
        began = now()
        with pytest.raises(SandboxError, match="gone"):
            await one(pool)
        assert now() - began == pytest.approx(0.2)
        backend.errors.clear()
        assert await one(pool) == pytest.approx(0.2)

    play(scenario)


def test_a_kind_that_fails_is_given_up_when_nobody_asks_for_it():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        backend.errors.extend(SandboxError("cannot be built") for _ in range(100))
        with pytest.raises(SandboxError, match="cannot be built"):
            await one(pool)
        await asyncio.sleep(100)
        asked = backend.asked
        await asyncio.sleep(3600)
        assert backend.asked == asked <= 9

    play(scenario, idle_s=60)


def test_a_removal_that_fails_gives_its_place_back(caplog: pytest.LogCaptureFixture):
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        backend.stop_error = SandboxError("the engine is gone")
        for _ in range(3):
            await one(pool)

    play(scenario, size=1)
    assert "could not be removed, the backend's gc will: the engine is gone" in caplog.messages[0]


def test_it_is_a_backend():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        as_backend: SandboxBackend = pool
        assert as_backend.name == "fake"
        box = await as_backend.start(A, Limits())
        assert await as_backend.alive() == [box.name]
        await box.stop()
        await box.stop()
        async with lease(as_backend, A):
            pass
        assert pool.stats.leased == 0

    play(scenario)


def test_close_ends_what_is_leased_and_refuses_what_waits():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        box = await pool.start(A, Limits())
        leases = [asyncio.create_task(one(pool)) for _ in range(20)]
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        closing.cancel()
        await pool.close()
        assert backend.living == set()
        assert {str(e) for e in await asyncio.gather(*leases, return_exceptions=True)} == {
            "the pool is closed: open a new one"
        }
        with pytest.raises(SandboxError, match="closed"):
            await pool.start(A, Limits())
        await box.stop()

    play(scenario)


def test_close_in_the_moment_of_a_hand_over():
    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        waiting = asyncio.create_task(pool.start(A, Limits()))
        while not backend.starting:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)  # wakes up right after the start did
        assert (len(backend.living), waiting.done()) == (1, False)
        await pool.close()
        assert backend.living == set()
        await asyncio.gather(waiting, return_exceptions=True)

    play(scenario, warm=0)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([None, 0, 1, 3]), st.integers(1, 6), st.integers(1, 4))
def test_whatever_is_cancelled_nothing_leaks(seed: int, warm: int | None, size: int, starts: int):
    dice = random.Random(seed)

    async def scenario(pool: Pool, backend: FakeBackend) -> None:
        seen: set[str] = set()

        async def user() -> None:
            backend.errors.append(SandboxError("bad luck") if dice.random() < 0.1 else None)
            limits = Limits(lease_s=dice.choice([1.0, 20.0]))
            async with pool.lease(dice.choice([A, B, C]), limits, network=dice.random() < 0.2) as box:
                assert box.name not in seen
                seen.add(box.name)
                assert not box.channel.ended
                await asyncio.sleep(dice.choice([0, 0.1, 1, 3]))
                await box.run("still mine")

        users = []
        for _ in range(40):
            backend.start_s, backend.stop_s = dice.choice([0, 0.2, 2]), dice.choice([0, 0.1, 1])
            users += [asyncio.create_task(user()) for _ in range(dice.choice([1, 1, 5]))]
            for _ in range(dice.choice([0, 1, 3])):
                await asyncio.sleep(dice.choice([0, 0.05, 0.2, 1]))
            if dice.random() < 0.4:
                dice.choice(users).cancel()
            ready = [spare.box for kind in pool._stock.kinds.values() for spare in kind.ready]
            if ready and dice.random() < 0.2:
                dice.choice(ready).channel.ended = True
            stats = pool.stats
            assert stats.leased <= size
            assert backend.starting <= starts
            assert len(backend.living) + backend.starting <= 2 * size
            assert backend.started == backend.stopped + len(await pool.alive())
        found = await asyncio.gather(*users, return_exceptions=True)
        unexpected = [e for e in found if e is not None and not isinstance(e, SandboxError | asyncio.CancelledError)]
        assert unexpected == []
        await asyncio.sleep(30.01)
        stats = pool.stats
        assert (stats.waiting, stats.leased) == (0, 0)
        assert stats.spares + backend.stopping == len(backend.living) <= 2 * size

    play(scenario, warm=warm, size=size, starts=starts, idle_s=60)


# -- the real backends ------------------------------------------------------------------------------------------


async def _ours(backend: SandboxBackend) -> list[str]:
    """Other processes on this machine may have sandboxes too."""
    return [name for name in await backend.alive() if owners.is_ours(name)]


@pytest.mark.asyncio(loop_scope="module")
class TestForReal:
    async def test_a_lease_ends_with_its_block(self, backend: SandboxBackend, image: Image) -> None:
        with pytest.raises(KeyError):
            async with lease(backend, image) as box:
                assert (await box.run("echo on")).stdout == "on\n"
                raise KeyError
        assert box.name not in await backend.alive()

    async def test_warm_sandboxes_come_at_once_fresh_and_are_gone_at_the_end(
        self, backend: SandboxBackend, image: Image
    ) -> None:
        pool = Pool(backend, warm=2)
        async with pool.lease(image):
            await _until_spares(pool, 2)
        names, waited = [], []
        for _ in range(5):
            began = time.perf_counter()
            async with pool.lease(image) as box:
                waited.append(time.perf_counter() - began)
                assert (await box.run("ls /tmp; touch /tmp/x", cwd="/testbed")).stdout == ""
                names.append(box.name)
            await _until_spares(pool, 2)
        assert len(set(names)) == 5
        assert sorted(waited)[2] < 0.015
        await pool.close()
        assert await _ours(backend) == []

    async def test_a_spare_whose_guest_died_is_not_handed_out(self, backend: SandboxBackend, image: Image) -> None:
        pool = Pool(backend, warm=1)
        async with pool.lease(image):
            await _until_spares(pool, 1)
        (kind,) = pool._stock.kinds.values()
        spare = kind.ready[0]
        await spare.box._remove()  # type: ignore[attr-defined]
        for _ in range(200):
            if spare.has_ended():
                break
            await asyncio.sleep(0.02)
        async with pool.lease(image) as box:
            assert box.name != spare.box.name
            assert (await box.run("echo fine")).stdout == "fine\n"
        await pool.close()
        assert await _ours(backend) == []

    async def test_a_cancelled_lease_leaves_nothing(self, backend: SandboxBackend, image: Image) -> None:
        pool = Pool(backend)

        async def use() -> None:
            async with pool.lease(image):
                await asyncio.sleep(60)

        for delay in (0, 0.001, 0.01, 0.05, 0.2):
            task = asyncio.create_task(use())
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await pool.close()
        assert await _ours(backend) == []


async def _until_spares(pool: Pool, number: int) -> None:
    async with asyncio.timeout(60):
        while pool.stats.spares < number:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
