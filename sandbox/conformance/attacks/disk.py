"""Attacks on the disk: what a sandbox can write is bounded in size and in number of files, wherever it writes."""

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
if sys.argv[1] == "hidden": libc.prctl(4, 0, 0, 0, 0)
def left(): return os.statvfs("/testbed").f_bavail * os.statvfs("/testbed").f_frsize >> 20
before = left()
try:
    for number in range(40):
        fd = os.open(f"/testbed/large{number}", os.O_CREAT | os.O_WRONLY)
        if sys.argv[1] != "kept": os.unlink(f"/testbed/large{number}")
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


async def disk_fill_by_a_hidden_process(bed: Bed) -> None:
    """Deleted files of a process that nobody may look into are under the limit as well."""
    await _fill_large(bed, "hidden")


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
