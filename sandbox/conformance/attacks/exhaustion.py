"""Attacks by using things up: the sandbox meets its own limits, and neither its neighbours nor the machine notice."""

from __future__ import annotations

from sandbox.conformance.attacks.attempts import PRELUDE, attempt, unharmed
from sandbox.conformance.bed import Bed

_EAT = """
import mmap
hoard = []
while True:
    piece = mmap.mmap(-1, 16 << 20)
    piece[:] = bytes(16 << 20)
    hoard.append(piece)
"""

_HOLD = """
import mmap
full, fill = os.pipe()
for _ in range(20):
    if os.fork() == 0:
        piece = mmap.mmap(-1, 24 << 20)
        piece[:] = bytes(24 << 20)
        os.write(fill, struct.pack("=i", os.getpid()))
        time.sleep(60)
        os._exit(0)
time.sleep(4)
os.set_blocking(full, False)
try: filled = struct.iter_unpack("=i", os.read(full, 4096))
except BlockingIOError: filled = ()
print(sum(os.waitpid(child, os.WNOHANG)[0] == 0 for child, in filled), flush=True)
os.kill(-1, 9)
"""

_SHM = """
import mmap
hoard = []
while True:
    fd = libc.memfd_create(b"x", 0)
    if fd < 0: fd = os.open(f"/dev/shm/{len(hoard)}", os.O_CREAT | os.O_RDWR)
    os.write(fd, bytes(16 << 20))
    hoard.append(fd)
"""

_ZOMBIES = """
while True:
    try:
        if os.fork() == 0: os._exit(0)
    except OSError:
        break
print("full", flush=True)
time.sleep(600)
"""

_ORPHANS = """
for _ in range(1500):
    try:
        child = os.fork()
    except OSError:
        continue
    if child == 0:
        try:
            if os.fork(): os._exit(0)
        except OSError: pass
        os._exit(0)
    os.waitpid(child, 0)
"""

_INOTIFY = """
hoard = []
while True:
    fd = libc.inotify_init()
    if fd < 0: break
    hoard.append(fd)
    if len(hoard) % 900 == 0 and os.fork():
        time.sleep(600)
print("full", flush=True)
time.sleep(600)
"""


async def fork_bomb(bed: Bed) -> None:
    """A fork bomb ends with its time-out, also when it forks from the session; neighbours work meanwhile."""
    box, neighbour = await bed.start(pids=64), await bed.start()
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    for command in (["python", "-c", bomb], "bomb() { bomb | bomb & bomb; }; bomb 2>/dev/null"):
        assert (await box.run(command, timeout_s=2)).timed_out
        await unharmed(bed, box, neighbour)


async def fork_bomb_in_the_background(bed: Bed) -> None:
    """A fork bomb that was left in the background ends with its sandbox, and harms nobody until then."""
    box, neighbour = await bed.start(pids=64), await bed.start()
    mark = bed.mark()
    await box.run(["bash", "-c", "bomb() { bomb | bomb & }; bomb 2>/dev/null", mark], timeout_s=2)
    await box.run("bomb() { bomb | bomb & }; bomb 2>/dev/null", timeout_s=2)
    await unharmed(bed, neighbour)
    await box.stop()
    assert await bed.count(mark) == 0


async def memory(bed: Bed) -> None:
    """Memory beyond the limit ends the program that took it, be it private or shared; the sandbox goes on."""
    box, neighbour = await bed.start(memory_mb=128), await bed.start()
    for program in (_EAT, _SHM):
        result = await attempt(box, program, timeout_s=60)
        assert (result.exit_code != 0, result.timed_out) == (True, False)
        await box.run(["bash", "-c", "rm -f /dev/shm/*"])
        await unharmed(bed, box, neighbour)


async def memory_by_many_processes(bed: Bed) -> None:
    """The limit is one for all processes together: many small ones cannot hold more than one large one."""
    box, neighbour = await bed.start(memory_mb=128, pids=64), await bed.start()
    holding = int((await attempt(box, _HOLD, timeout_s=30)).stdout or 0)
    assert holding * 24 <= 128, f"{holding} processes held 24 MB each"
    await unharmed(bed, box, neighbour)


async def zombie_pile(bed: Bed) -> None:
    """Orphans are reaped, and a program that hoards zombies fills its own sandbox only."""
    box, neighbour = await bed.start(pids=64), await bed.start()
    await attempt(box, _ORPHANS, timeout_s=60)
    zombies = await box.run("cat /proc/[0-9]*/status 2>/dev/null | grep -c 'State:.Z'", timeout_s=20)
    assert int(zombies.stdout) <= 1
    await unharmed(bed, box)
    assert (await attempt(box, _ZOMBIES, timeout_s=2)).timed_out
    await unharmed(bed, box, neighbour)


async def output_flood(bed: Bed) -> None:
    """Endless output, of the command or of jobs that it left, costs the reader no more than `output_kb`."""
    box, neighbour = await bed.start(output_kb=16), await bed.start()
    for command in ("yes & yes >&2 & yes", ["bash", "-c", "yes & yes >&2 & cat /dev/zero"]):
        result = await box.run(command, timeout_s=1)
        assert result.timed_out
        assert len(result.output) < 4 * (16 << 10) + 1000
    for number in range(3):
        assert (await box.run(f"yes & yes >&2 & echo {number}")).exit_code == 0
    await unharmed(bed, box, neighbour)


async def watches_counted_per_user(bed: Bed) -> None:
    """What the kernel counts per user (inotify instances) is not used up for other sandboxes."""
    box, neighbour = await bed.start(), await bed.start()
    await box.write({"/tmp/hoard.py": (PRELUDE + _INOTIFY).encode()})
    await box.run("python /tmp/hoard.py >/tmp/full & while [ ! -s /tmp/full ]; do sleep 0.05; done", timeout_s=20)
    assert (await attempt(neighbour, "print(libc.inotify_init() >= 0)")).stdout == "True\n"
