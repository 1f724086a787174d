"""Attacks by using things up: the sandbox meets its own limits, and neither its neighbours nor the machine notice."""

from __future__ import annotations

import asyncio
import os

from sandbox.conformance.attacks.attempts import PRELUDE, attempt, unharmed
from sandbox.conformance.bed import Bed

_FOLDERS = ("/tmp", "/testbed", "/dev/shm")

_MANY_FILES = """
written = 0
try:
    for number in range(10_000):
        with open(f"{sys.argv[1]}/fill{number}", "wb", buffering=0) as handle:
            for _ in range(4):
                written += handle.write(bytes(1 << 18))
        if written > 512 << 20:
            break
except OSError as error:
    print(written >> 20)
else:
    print("no end")
"""

_LARGE_FILES = """
def left(): return os.statvfs("/testbed").f_bavail * os.statvfs("/testbed").f_frsize >> 20
before = left()
try:
    for number in range(40):
        fd = os.open(f"/testbed/large{number}", os.O_CREAT | os.O_WRONLY)
        if sys.argv[1] == "deleted": os.unlink(f"/testbed/large{number}")
        for _ in range(60):
            os.write(fd, bytes(1 << 20))
            time.sleep(0.001)
        print(before - left(), flush=True)
except OSError:
    pass
time.sleep(1)
"""

_MANY_NAMES = """
made = 0
try:
    for folder in range(2000):
        os.mkdir(f"{sys.argv[1]}/d{folder}")
        for number in range(1000):
            os.close(os.open(f"{sys.argv[1]}/d{folder}/{number}", os.O_CREAT | os.O_WRONLY))
            made += 1
except OSError as error:
    print(made)
else:
    print("no end")
"""

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


async def disk_fill(bed: Bed) -> None:
    """Many files cannot take more than `tmp_mb`, wherever they lie; afterwards the sandbox can be used further."""
    box, neighbour = await bed.start(tmp_mb=16), await bed.start()
    for folder in _FOLDERS:
        filled = (await attempt(box, _MANY_FILES, folder, timeout_s=60)).stdout.strip()
        assert filled.isdigit() and int(filled) <= 64, f"{filled} MiB in {folder}"
        assert (await box.run(f"rm -f {folder}/fill*; echo on")).stdout == "on\n"
        await unharmed(bed, box, neighbour)


async def disk_fill_beside_a_large_tree(bed: Bed) -> None:
    """The limit holds for an image with thousands of files as it does for a small one."""
    await _fill_large(bed, "kept")


async def disk_fill_by_deleted_files(bed: Bed) -> None:
    """Files that were deleted and are still open, so that no list shows them, are under the limit too."""
    await _fill_large(bed, "deleted")


async def disk_fill_behind_ones_back(bed: Bed) -> None:
    """A job in the background cannot write beyond the limit while no command runs."""
    box = await bed.start_large(tmp_mb=64)
    await box.write({"/tmp/fill.py": (PRELUDE + _LARGE_FILES).encode()})
    await box.run(["bash", "-c", "setsid python /tmp/fill.py kept >/tmp/filled &"])
    await asyncio.sleep(6)
    assert _megabytes((await box.read("/tmp/filled")).decode()) < 1000


async def _fill_large(bed: Bed, how: str) -> None:
    box, neighbour = await bed.start_large(tmp_mb=64), await bed.start()
    result = await attempt(box, _LARGE_FILES, how, timeout_s=60)
    assert _megabytes(result.stdout) < 1000
    await box.run(["bash", "-c", "rm -f large*"])
    await unharmed(bed, box, neighbour)


def _megabytes(printed: str) -> int:
    """How much the disk had lost at the end, others' use of it included."""
    return max([0, *map(int, printed.split())])


async def inode_fill(bed: Bed) -> None:
    """The number of files is bounded too, and the file system of this machine keeps its own."""
    box, neighbour = await bed.start(tmp_mb=16), await bed.start()
    before = os.statvfs("/").f_ffree
    for folder in _FOLDERS:
        made = (await attempt(box, _MANY_NAMES, folder, timeout_s=120)).stdout.strip()
        assert made.isdigit() and int(made) <= 300_000, f"{made} files in {folder}"
        if bed.sees_processes:
            assert before - os.statvfs("/").f_ffree < 100_000
        await box.run(["bash", "-c", f"rm -rf {folder}/d*"], timeout_s=60)
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
