"""Where one case runs: a backend, an image, sandboxes that are stopped afterwards, and eyes outside of them.

Invariant: when `check` returns or raises, every sandbox that the case started is stopped and its folder is removed.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from weakref import WeakSet

from sandbox.protocol import Image, Limits, Sandbox, SandboxBackend

_numbers = itertools.count()

_COUNT_INSIDE = """
import os, sys
count = 0
for entry in os.listdir("/proc"):
    if entry.isdigit() and int(entry) != os.getpid():
        try:
            count += sys.argv[1].encode() in open("/proc/" + entry + "/cmdline", "rb").read().split(b"\\0")
        except OSError:
            pass
print(count)
"""


class Bed:
    """What a case gets."""

    def __init__(self, backend: SandboxBackend, image: Image, folder: Path, sees_processes: bool) -> None:
        self.backend = backend
        self.image = image
        self.folder = folder
        """Empty, on this machine, for this case alone."""
        self.sees_processes = sees_processes
        """Whether the processes of a sandbox are processes of this machine too."""
        self._boxes: list[Sandbox] = []

    async def start(self, **limits: float) -> Sandbox:
        """A fresh sandbox: `await bed.start(memory_mb=64)`; the names are those of `Limits`."""
        return await self.start_from(self.image, **limits)

    async def start_large(self, **limits: float) -> Sandbox:
        """The same from an image with thousands of files, for backends that treat such an image in another way."""
        return await self.start_from(large_image(), **limits)

    async def start_from(self, image: Image, **limits: float) -> Sandbox:
        """The same from an image of the case's own. What an engine makes of it stays: the same name each time."""
        box = await self.backend.start(image, Limits(**limits))  # type: ignore[arg-type]
        self._boxes.append(box)
        return box

    async def stop(self) -> None:
        """Stop all that were started."""
        await asyncio.gather(*(box.stop() for box in self._boxes))

    def mark(self) -> str:
        """A number of seconds that no other `sleep` on this machine sleeps: it finds a process again."""
        return f"5{os.getpid()}{next(_numbers)}.25"

    async def count(self, mark: str, box: Sandbox | None = None) -> int:
        """How many processes have the mark as an argument; seen from `box` where nothing is seen from outside."""
        if self.sees_processes:
            return _count_outside(mark)
        return int((await box.run(["python", "-c", _COUNT_INSIDE, mark])).stdout) if box else 0

    async def comes_to(self, wanted: int, mark: str, box: Sandbox | None = None, seconds: float = 10.0) -> bool:
        """Whether that many processes have the mark before the time is over."""
        for _ in range(int(seconds / 0.05)):
            if await self.count(mark, box) == wanted:
                return True
            await asyncio.sleep(0.05)
        return False

    async def look_around(self) -> None:
        """Refuse a backend without walls: what the cases do in a sandbox would harm this machine."""
        box = await self.start()
        seen = await box.run(["bash", "-c", f"ls -d {self.folder}; ls /proc | grep -c '^[0-9]'; id -u"])
        words = seen.stdout.split()
        walls = len(words) == 2 and int(words[0]) < 20 and words[1] != "0"
        assert walls, f"no case is run: {self.backend.name} shows files or processes of this machine, or runs as root"
        await box.stop()


_looked_at: WeakSet[SandboxBackend] = WeakSet()
Case = Callable[[Bed], Awaitable[None]]


async def check(
    backend: SandboxBackend,
    case: Case,
    image: Image | None = None,
    *,
    sees_processes: bool = True,
    patience_s: float = 300.0,
) -> None:
    """Run one case. Raises `AssertionError` when the promise is broken, also by no answer within `patience_s`."""
    if not __debug__:
        raise RuntimeError("the cases are assert statements, which python -O leaves out: run without -O")
    with tempfile.TemporaryDirectory() as folder:
        bed = Bed(backend, image or standard_image(), Path(folder), sees_processes)
        try:
            async with asyncio.timeout(patience_s) as limit:
                if backend not in _looked_at:
                    await bed.look_around()
                    _looked_at.add(backend)
                await case(bed)
        except TimeoutError:
            assert not limit.expired(), f"no end within {patience_s:.0f} s"
            raise
        finally:
            await bed.stop()


@functools.cache
def _standard_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="conformance-")  # removed when this program ends


@functools.cache
def standard_image() -> Image:
    """The small image that the cases expect: two files and two links, one of which leads out."""
    tree = Path(_standard_folder().name) / "tree"
    (tree / "package").mkdir(parents=True)
    (tree / "readme.txt").write_text("hello\n")
    (tree / "package" / "code.py").write_text("x = 1\n")
    (tree / "link.txt").symlink_to("readme.txt")
    (tree / "outside").symlink_to("/etc")
    return Image("conformance", tree)


@functools.cache
def large_image() -> Image:
    """2,500 files."""
    tree = Path(_standard_folder().name) / "large"
    tree.mkdir()
    for number in range(2500):
        (tree / f"{number}.txt").write_text(str(number))
    return Image("conformance-large", tree)


def _count_outside(mark: str) -> int:
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                found += mark.encode() in (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
    return found
