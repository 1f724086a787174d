"""Attacks on the task: what its image held before files were written over or deleted is nowhere to be read."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from sandbox.conformance.attacks.attempts import fails
from sandbox.conformance.bed import Bed
from sandbox.protocol import Image

_HALVES = ("the remedy that ", "the image held")
_SIZE = 7_919

# All that is young may be made from the image (an archive of it, say); of what is old only a file of that size could
# be the one, for nobody can read all programs of a machine.
_LOOK_EVERYWHERE = f"""
needle = "".join({_HALVES!r}).encode()
seen = set()
def read(path, young=False):
    try:
        status = os.stat(path)
        if status.st_mode & 0o170000 != 0o100000 or (status.st_dev, status.st_ino) in seen: return
        if not young and status.st_size != {_SIZE} and status.st_ctime < time.time() - 7200: return
        seen.add((status.st_dev, status.st_ino))
        with open(path, "rb") as handle:
            left = 1 << 28
            while left > 0 and (data := handle.read(1 << 24)):
                left -= len(data)
                if needle in data: print("found in", path)
    except (OSError, ValueError):
        pass

places = ["/"]
for pid in filter(str.isdigit, os.listdir("/proc")):
    places += [f"/proc/{{pid}}/{{name}}" for name in ("root", "cwd", "fd", "map_files")]
    if int(pid) != os.getpid():
        for name in ("environ", "cmdline", "mem", "mountinfo"): read(f"/proc/{{pid}}/{{name}}", young=True)
for place in places:
    for folder, folders, files in os.walk(place):
        folders[:] = [name for name in folders if folder != place or name not in ("proc", "sys")]
        for name in files: read(os.path.join(folder, name))
"""


async def what_the_image_held(bed: Bed) -> None:
    """A file that was written over, one that was deleted and one that was moved: none is found as it was."""
    await _look_for_the_remedy(bed, _image(files=0))


async def what_a_large_image_held(bed: Bed) -> None:
    """The same with thousands of files, for backends that treat such an image in another way."""
    await _look_for_the_remedy(bed, _image(files=2500))


async def _look_for_the_remedy(bed: Bed, image: Image) -> None:
    box = await bed.start_from(image)
    seen = await box.run("cat changed.py deleted.py moved/code.py")
    assert seen.stdout.count("".join(_HALVES)) == 3 * (_SIZE // (len("".join(_HALVES)) + 1))
    await box.write({"changed.py": b"bug\n" * 1000, "deleted.py": None, "moved/code.py": None, "new.py": b"bug\n"})
    await fails(box, _LOOK_EVERYWHERE, timeout_s=240)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="conformance-leaks-")  # removed when this program ends


@functools.cache
def _image(files: int) -> Image:
    tree = Path(_folder().name) / str(files)
    (tree / "moved").mkdir(parents=True)
    line = "".join(_HALVES) + "\n"
    for name in ("changed.py", "deleted.py", "moved/code.py"):
        (tree / name).write_text((line * (_SIZE // len(line))).ljust(_SIZE))
    for number in range(files):
        (tree / f"{number}.txt").write_text(str(number))
    return Image(f"conformance-leaks-{files}", tree)
