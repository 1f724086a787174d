"""Ctrl-C for sandboxes: the command ends, the sandbox and the state of its shell stay."""

from __future__ import annotations

import asyncio

import pytest
from sandbox_helpers import new_mark, processes_with, until

from sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_command_ends_with_all_it_started_and_the_shell_keeps_its_state(box: Sandbox) -> None:
    mark = new_mark()
    await box.run("cd /tmp; word=kept")
    running = asyncio.create_task(box.run(f"echo before; setsid sleep {mark} & while :; do sleep {mark}; done"))
    assert await until(lambda: len(processes_with(mark)) >= 2)
    await box.interrupt()
    result = await running
    assert (result.exit_code, result.timed_out, result.stdout) == (130, False, "before\n")
    assert await until(lambda: not processes_with(mark))
    assert (await box.run("echo $word $PWD")).stdout == "kept /tmp\n"


async def test_a_program_without_a_shell(box: Sandbox) -> None:
    running = asyncio.create_task(box.run(["sleep", "1000"]))
    await asyncio.sleep(0.3)
    await box.interrupt()
    assert (await running).exit_code == 130
    assert (await box.run(["echo", "on"])).stdout == "on\n"


async def test_it_means_nothing_while_no_command_runs(box: Sandbox) -> None:
    await box.interrupt()
    writing = asyncio.create_task(box.write({"large": b"x" * (8 << 20)}))
    await asyncio.sleep(0)
    await box.interrupt()
    await writing
    assert (await box.run("wc -c <large")).stdout.strip() == str(8 << 20)


async def test_at_the_very_end_or_beginning_of_a_command(box: Sandbox) -> None:
    for number in range(60):
        running = asyncio.create_task(box.run(f"echo {number}"))
        await asyncio.sleep(0.0001 * (number % 15))
        await box.interrupt()
        assert (await running).exit_code in (0, 130)
    assert (await box.run("echo on")).stdout == "on\n"


async def test_a_time_limit_that_passes_before_the_shell_is_up(box: Sandbox) -> None:
    for number in range(30):
        assert (await box.run("echo", timeout_s=0.0001 * (number % 15))).exit_code in (0, 124)
    assert (await box.run("echo on")).stdout == "on\n"
