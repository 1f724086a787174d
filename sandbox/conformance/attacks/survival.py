"""Attacks on ends: nothing lives on past a time-out or the end of its sandbox."""

from __future__ import annotations

from sandbox.conformance.attacks.attempts import PRELUDE, attempt, unharmed
from sandbox.conformance.bed import Bed
from sandbox.protocol import Sandbox

_DETACH = """
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
if os.fork(): time.sleep(600)
os.setsid()
if os.fork(): os._exit(0)
for fd in range(256):
    try: os.close(fd)
    except OSError: pass
os.chdir("/")
time.sleep(600)
"""

_HOP = """
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
for _ in range(6):
    if os.fork() == 0: break
else:
    time.sleep(600)
while True:
    try:
        if os.fork(): os._exit(0)
        os.setsid()
    except OSError: pass
"""

_GUARDS = """
import subprocess
def guard(other):
    while True:
        try: os.kill(other[0], 0)
        except OSError:
            pid = os.fork()
            if pid == 0: other[0] = os.getppid()
            else: other[0] = pid
        time.sleep(0.001)
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        guard([os.getppid()])
time.sleep(600)
"""


async def _ends_with_its_time_out(bed: Bed, program: str) -> None:
    box = await bed.start(pids=64)
    earlier, mark = bed.mark(), bed.mark()
    await box.run(f"kept=1; sleep {earlier} &")
    assert (await attempt(box, program, mark, timeout_s=1.5)).timed_out
    assert await bed.comes_to(0, mark, box)
    await _still_there(bed, box, earlier)


async def _still_there(bed: Bed, box: Sandbox, earlier: str) -> None:
    assert await bed.count(earlier, box) == 1
    assert (await box.run("echo $kept")).stdout == "1\n"
    await unharmed(bed, box)


async def double_fork_and_setsid(bed: Bed) -> None:
    """A daemon made by the book, with every signal ignored and every descriptor closed, ends with its time-out."""
    await _ends_with_its_time_out(bed, _DETACH)


async def processes_that_hop(bed: Bed) -> None:
    """Processes that fork and exit without pause, so that none lives long enough to be hit, end with their time-out."""
    await _ends_with_its_time_out(bed, _HOP)


async def processes_that_guard_each_other(bed: Bed) -> None:
    """Processes that start each other anew end with their time-out."""
    await _ends_with_its_time_out(bed, _GUARDS)


async def stopped_processes(bed: Bed) -> None:
    """Processes that were stopped, or stop everybody else, end with their time-out."""
    box = await bed.start()
    mark = bed.mark()
    result = await box.run(
        f"sleep {mark} & kill -STOP $!; setsid sleep {mark} & kill -STOP -1; sleep 60", timeout_s=1.5
    )
    assert result.timed_out
    assert await bed.comes_to(0, mark, box)
    await unharmed(bed, box)


async def daemons_beyond_the_end(bed: Bed) -> None:
    """Whatever was left in the background, detached and hopping, ends with its sandbox."""
    box = await bed.start(pids=64)
    mark = bed.mark()
    await box.write({"/tmp/detach.py": (PRELUDE + _DETACH).encode(), "/tmp/hop.py": (PRELUDE + _HOP).encode()})
    await box.run(f"for name in detach hop; do setsid python /tmp/$name.py {mark} & done; sleep 1", timeout_s=20)
    if bed.sees_processes:
        assert await bed.count(mark) > 0
    await box.stop()
    assert await bed.count(mark) == 0
    assert box.name not in await bed.backend.alive()
