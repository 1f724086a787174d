"""What attacks have in common: a program that tries, and a look at whoever else is there."""

from __future__ import annotations

from sandbox.conformance.bed import Bed
from sandbox.protocol import ExecResult, Sandbox

PRELUDE = """
import ctypes, errno, os, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_void_p, arguments))
    return "allowed" if result >= 0 else errno.errorcode[ctypes.get_errno()]
"""


async def attempt(box: Sandbox, program: str, *arguments: str, timeout_s: float = 60) -> ExecResult:
    """Run a Python program in the sandbox, `PRELUDE` before it."""
    return await box.run(["python", "-c", PRELUDE + program, *arguments], timeout_s=timeout_s)


async def fails(box: Sandbox, program: str, *arguments: str, timeout_s: float = 60) -> None:
    """The program tries, and prints what it achieved: it must come to its end and print nothing."""
    result = await attempt(box, program, *arguments, timeout_s=timeout_s)
    assert result.stdout == "", f"the attack succeeded: {result.stdout[:500]}"
    assert (result.exit_code, result.timed_out) == (0, False), result.stderr[-500:]


async def unharmed(bed: Bed, *boxes: Sandbox) -> None:
    """These sandboxes answer in both ways, and a fresh one can be started."""
    for box in (*boxes, await bed.start()):
        assert (await box.run("/bin/echo on", timeout_s=20)).stdout == "on\n"
        assert (await box.run(["echo", "on"], timeout_s=20)).stdout == "on\n"
