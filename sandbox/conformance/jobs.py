"""Background jobs: they hold nothing up, live on, and are not heard in later commands."""

from __future__ import annotations

import asyncio
import time

from sandbox.conformance.bed import Bed


async def a_job_holds_nothing_up_and_lives_on(bed: Bed) -> None:
    """A command ends with its last foreground program; its background jobs live on."""
    box = await bed.start()
    mark = bed.mark()
    started = time.monotonic()
    result = await box.run(f"sleep {mark} & (while true; do echo noise; sleep 0.05; done) & echo started")
    assert time.monotonic() - started < 5
    assert "started\n" in result.stdout
    await asyncio.sleep(0.3)
    assert (await box.run("echo again")).stdout == "again\n"
    assert await bed.count(mark, box) == 1


async def a_job_of_a_list_lives_on_too(bed: Bed) -> None:
    """What a program started without a shell leaves behind lives on and is not heard either."""
    box = await bed.start()
    mark = bed.mark()
    noise = f"sleep {mark} & (while true; do echo noise; echo noise >&2; sleep 0.05; done) & echo started"
    assert "started\n" in (await box.run(["bash", "-c", noise])).stdout
    await asyncio.sleep(0.3)
    result = await box.run("sleep 0.2; echo again")
    assert (result.stdout, result.stderr) == ("again\n", "")
    assert await bed.count(mark, box) == 1


async def late_output_is_nobody_elses(bed: Bed) -> None:
    """What a job of an earlier command writes later appears in no later command's output."""
    box = await bed.start()
    await box.run("(sleep 0.3; echo late; echo late >&2) & disown; exec 9>&1; (sleep 0.3; echo late >&9) &")
    result = await box.run("sleep 0.8; echo mine")
    assert (result.stdout, result.stderr) == ("mine\n", "")


async def a_job_that_floods_is_drained(bed: Bed) -> None:
    """A job that writes without end blocks neither itself nor later commands."""
    box = await bed.start()
    await box.run("yes & yes >&2 & echo started")
    for number in range(3):
        result = await box.run(f"echo {number}")
        assert (result.stdout, result.stderr) == (f"{number}\n", "")
    assert (await box.run("kill $(jobs -p); wait; echo over", timeout_s=20)).stdout == "over\n"


async def many_short_jobs(bed: Bed) -> None:
    """Hundreds of jobs that end by themselves leave neither zombies nor confusion about whose end it was."""
    box = await bed.start()
    for _ in range(5):
        result = await box.run("for i in $(seq 60); do (exit 9) & done; (exit 4)", timeout_s=30)
        assert result.exit_code == 4
    await box.run("wait")
    zombies = await box.run("grep -l 'State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l")
    assert int(zombies.stdout) <= 1


async def job_control(bed: Bed) -> None:
    """`set -m`, `fg`, `bg`, `coproc` and `disown` are allowed and end nothing."""
    box = await bed.start()
    await box.run("set -m; sleep 0.2 & fg", timeout_s=10)
    assert (await box.run("coproc cat; echo x >&${COPROC[1]}; read y <&${COPROC[0]}; echo $y")).stdout == "x\n"
    await box.run("sleep 5 & disown; set +m")
    assert (await box.run("echo on; (exit 3)")).exit_code == 3
