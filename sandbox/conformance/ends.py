"""The end: stop, cancellation, many at once."""

from __future__ import annotations

import asyncio

from sandbox.conformance.bed import Bed
from sandbox.protocol import Sandbox, SandboxError


async def _unusable(box: Sandbox, why: str) -> None:
    try:
        await box.run("true")
    except SandboxError as error:
        assert why in str(error)
    else:
        raise AssertionError("the sandbox still answers")


async def stop_removes_everything(bed: Bed) -> None:
    """`stop` ends every process and removes the sandbox; it may be called twice, and nothing else after it."""
    box = await bed.start()
    mark = bed.mark()
    await box.run(f"(trap '' TERM HUP INT; setsid sleep {mark}) & sleep {mark} &")
    assert box.name in await bed.backend.alive()
    assert await bed.comes_to(2, mark, box)
    await box.stop()
    assert await bed.count(mark) == 0
    assert box.name not in await bed.backend.alive()
    await box.stop()
    await _unusable(box, "stopped")


async def stop_ends_a_command(bed: Bed) -> None:
    """`stop` while a command runs ends it, and the caller is told."""
    box = await bed.start()
    mark = bed.mark()
    call = asyncio.create_task(box.run(f"sleep {mark}"))
    await asyncio.sleep(0.5)
    await box.stop()
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], SandboxError)
    assert await bed.count(mark) == 0


async def a_cancelled_call_breaks_the_sandbox_but_not_its_end(bed: Bed) -> None:
    """A call that was cancelled half-way leaves its sandbox unusable, and `stop` works."""
    box = await bed.start()
    mark = bed.mark()
    call = asyncio.create_task(box.run(["sleep", mark]))
    await asyncio.sleep(0.5)
    call.cancel()
    assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
    await _unusable(box, "cancelled")
    await box.stop()
    assert await bed.count(mark) == 0


async def calls_at_once_are_served_in_turn(bed: Bed) -> None:
    """Calls made at the same time are answered one after the other, each with its own answer."""
    box = await bed.start()
    calls = asyncio.gather(*(box.run(f"n={n}; sleep 0.01; echo $n") for n in range(10)))
    contents = await asyncio.gather(*(box.read("readme.txt") for _ in range(3)))
    assert contents == [b"hello\n"] * 3
    assert [result.stdout for result in await calls] == [f"{n}\n" for n in range(10)]


async def many_sandboxes_at_once(bed: Bed) -> None:
    """Sandboxes work side by side, each with its own name."""
    boxes = await asyncio.gather(*(bed.start() for _ in range(8)))
    results = await asyncio.gather(*(box.run(f"sleep 0.1; echo {n}") for n, box in enumerate(boxes)))
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(8)]
    assert len({box.name for box in boxes}) == 8


async def a_lease_that_is_over_ends_the_sandbox(bed: Bed) -> None:
    """After `lease_s` seconds the sandbox ends, whatever runs in it and whoever waits for it."""
    box = await bed.start(lease_s=2)
    mark = bed.mark()
    await box.run(f"sleep {mark} &")
    call = asyncio.create_task(box.run("sleep 60"))
    assert isinstance((await asyncio.wait_for(asyncio.gather(call, return_exceptions=True), 30))[0], SandboxError)
    if bed.sees_processes:
        assert await bed.comes_to(0, mark)
    for _ in range(100):
        if box.name not in await bed.backend.alive():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the sandbox is still there")


async def the_network_is_open_when_asked_for(bed: Bed) -> None:
    """With `network=True` there is an interface beside the loopback, and a name server is known."""
    from sandbox.protocol import Limits

    box = await bed.backend.start(bed.image, Limits(), network=True)
    try:
        devices = (await box.run("cat /proc/net/dev; echo; cat /etc/resolv.conf")).stdout
    finally:
        await box.stop()
    assert "nameserver" in devices
    assert any(line.split(":")[0].strip() not in ("lo", "") for line in devices.splitlines()[2:] if ":" in line)
