"""Time-outs: the command's whole tree ends, the session and its earlier jobs do not."""

from __future__ import annotations

import asyncio
import time

from sandbox.conformance.bed import Bed

_ESCAPE = (
    "import os; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); os.execvp('sleep', ['sleep', '{}'])"
)
_REMEMBER = "cd package; v=1; export w=2; f() { echo f; }; shopt -s extglob"
_RECALL = "pwd; echo $v $w; f; shopt -q extglob"
_REMEMBERED = "/testbed/package\n1 2\nf\n"


async def a_time_out_kills_the_whole_tree_and_nothing_else(bed: Bed) -> None:
    """A time-out gives 124 and ends all that the command started, however detached; earlier jobs live on."""
    box = await bed.start()
    earlier, mark = bed.mark(), bed.mark()
    await box.run(f"sleep {earlier} &")
    escape = _ESCAPE.format(mark)
    script = f'trap "" TERM INT HUP; python -c "{escape}"; setsid sleep {mark} & nohup sleep {mark} & sleep {mark}'
    for command in (script + "; echo never", ["bash", "-c", script + "; echo never"]):
        result = await box.run(command, timeout_s=1)
        assert (result.exit_code, result.timed_out, result.stdout) == (124, True, "")
        assert 1 <= result.seconds < 6
        assert await bed.comes_to(0, mark, box)
        assert await bed.count(earlier, box) == 1
        assert (await box.run("echo on")).stdout == "on\n"


async def the_session_survives_a_time_out(bed: Bed) -> None:
    """Working directory, variables, functions and options of earlier commands survive a time-out."""
    box = await bed.start()
    await box.run(_REMEMBER)
    for command in ("sleep 60", "v=changed; cat | sleep 60", "(cd /; sleep 60)", ["sleep", "60"], "sleep 60 & wait"):
        assert (await box.run(command, timeout_s=0.5)).timed_out, command
        after = await box.run(_RECALL.replace("$v", "${v/changed/1}"))
        assert (after.stdout, after.exit_code) == (_REMEMBERED, 0), command


async def a_builtin_loop_is_ended(bed: Bed) -> None:
    """A loop of builtins, which no program's death ends, is ended, and the session survives."""
    box = await bed.start()
    await box.run(_REMEMBER)
    for script in (
        "while :; do :; done",
        "trap '' TERM INT HUP; while :; do :; done",
        "loop() { loop2; }; loop2() { while true; do x=1; done; }; loop",
        "until false; do sleep 0.01; done",
        "eval 'while :; do :; done'",
    ):
        result = await box.run(script, timeout_s=0.5)
        assert (result.exit_code, result.timed_out) == (124, True), script
        assert result.seconds < 6, script
        assert (await box.run(_RECALL)).stdout == _REMEMBERED, script


async def a_blocked_builtin_is_ended(bed: Bed) -> None:
    """A builtin that waits for ever is ended, and the session survives."""
    box = await bed.start()
    await box.run(_REMEMBER + "; mkfifo /tmp/fifo")
    for script in (
        "read x </tmp/fifo",
        "exec 9<>/tmp/fifo; read x <&9",
        "exec 9<>/tmp/fifo; mapfile <&9",
        "exec 8</tmp/fifo",
        "echo x >/tmp/fifo",
        "sleep 60 & trap '' INT TERM; wait $!",
    ):
        result = await box.run(script, timeout_s=0.5)
        assert (result.exit_code, result.timed_out) == (124, True), script
        assert (await box.run(_RECALL)).stdout == _REMEMBERED, script


async def output_before_a_time_out_is_kept(bed: Bed) -> None:
    """What was printed before the time was over is in the result."""
    box = await bed.start()
    for command in ("echo early; echo warn >&2; sleep 60", ["bash", "-c", "echo early; echo warn >&2; sleep 60"]):
        result = await box.run(command, timeout_s=0.7)
        assert (result.stdout, result.stderr, result.timed_out) == ("early\n", "warn\n", True)


async def endless_output_is_timed_out(bed: Bed) -> None:
    """A command that prints without end is ended like any other."""
    box = await bed.start(output_kb=16)
    for command in ("yes", "yes & yes >&2", "while :; do echo line; done"):
        result = await box.run(command, timeout_s=0.7)
        assert result.timed_out, command
        assert result.seconds < 6, command
        assert len(result.stdout) < 40_000, command
        assert (await box.run("echo on")).stdout == "on\n", command


async def the_limit_of_the_sandbox_holds_by_default(bed: Bed) -> None:
    """`Limits.timeout_s` is the limit of a command that was given none."""
    box = await bed.start(timeout_s=0.5)
    for command in ("sleep 60", ["sleep", "60"]):
        assert (await box.run(command)).timed_out
        assert not (await box.run(command if command == "true" else "sleep 0.6", timeout_s=20)).timed_out


async def many_time_outs_in_a_row(bed: Bed) -> None:
    """Time-outs leave nothing that adds up: the tenth is as quick as the first."""
    box = await bed.start(pids=48)
    await box.run(_REMEMBER)
    started = time.monotonic()
    for _ in range(10):
        assert (await box.run("sleep 60 & sleep 60 | sleep 60", timeout_s=0.1)).timed_out
        assert (await box.run(_RECALL)).stdout == _REMEMBERED
    assert time.monotonic() - started < 30
    assert int((await box.run("ls -d /proc/[0-9]* | wc -l")).stdout) < 12


async def an_interrupted_command_ends_as_if_its_time_were_over(bed: Bed) -> None:
    """`interrupt` ends the command that runs, with all it started and exit code 130; the session goes on."""
    box = await bed.start()
    await box.run(_REMEMBER)
    for command in ("trap '' INT TERM; sleep {0} & sleep {0}", ["sleep", "{0}"], "while :; do :; done"):
        mark = bed.mark()
        filled = [word.format(mark) for word in command] if isinstance(command, list) else command.format(mark)
        call = asyncio.create_task(box.run(filled))
        await asyncio.sleep(0.5)
        await box.interrupt()
        result = await call
        assert (result.exit_code, result.timed_out) == (130, False), command
        assert await bed.comes_to(0, mark, box)
        assert (await box.run(_RECALL)).stdout == _REMEMBERED, command


async def interrupting_nothing_is_no_fault(bed: Bed) -> None:
    """`interrupt` while no command runs does nothing, to the next command either."""
    box = await bed.start()
    await box.interrupt()
    await box.run("v=1")
    await box.interrupt()
    assert (await box.run("sleep 0.2; echo $v")).stdout == "1\n"
