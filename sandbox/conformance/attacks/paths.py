"""Attacks by paths: links, `..`, races and lies about sizes on the way up and down."""

from __future__ import annotations

import asyncio
import contextlib
import os

from sandbox.conformance.bed import Bed
from sandbox.conformance.refusals import refuses_copy, refuses_file, snapshot
from sandbox.protocol import SandboxFileError

_SWAP = """
import itertools, os
os.makedirs("/tmp/real", exist_ok=True)
os.makedirs("swap", exist_ok=True)
os.symlink("/etc", "/tmp/link")
open("/tmp/real/passwd", "w").write("mine")
open("/tmp/file", "w").write("mine")
open("swap/b", "w").write("mine")
for n in itertools.count():
    try:
        for what in (("/tmp/real", "/etc")[n % 2], ("/tmp/file", "/etc/passwd")[n % 2]):
            os.symlink(what, "/tmp/new")
            os.replace("/tmp/new", "race" if what in ("/tmp/real", "/etc") else "swap/a")
        os.remove("swap/a")
        open("swap/a", "w").write("mine")
    except OSError:
        pass
"""


async def links_out_on_read_and_write(bed: Bed) -> None:
    """Links to files and folders outside, in every position of a path, are refused for files."""
    box = await bed.start()
    await box.run(
        "ln -s / root; ln -s /proc/self/root procroot; ln -s .. up; ln -s /tmp/../etc/passwd tricky; ln -s root two"
    )
    for path in (
        "root/etc/passwd",
        "procroot/etc/passwd",
        "up/etc/passwd",
        "tricky",
        "two/etc/passwd",
        "/tmp/../etc/passwd",
    ):
        await refuses_file(box, path)
    for path in (
        "/proc/self/root/etc/passwd",
        "/proc/1/root/etc/passwd",
        "/proc/self/environ",
        "/proc/1/fd/0",
        "/dev/null",
    ):
        await refuses_file(box, path)


async def links_out_on_trees(bed: Bed) -> None:
    """Links out are refused for trees, as source, as target, and inside of either."""
    box = await bed.start()
    tree = bed.folder / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "evil").write_text("evil")
    await box.run("ln -s / root; ln -s /var up; mkdir -p /tmp/t; ln -s /var/tmp /tmp/t/etc; ln -s / /tmp/t/below")
    for target in ("root/var/tmp/x", "up/tmp/x", "../var/tmp/x", "/var/tmp/x", "/proc/self/cwd/../var/tmp/x", "/tmp/t"):
        await refuses_copy(box, tree, target)
    for source in ("root/etc", "up", "/proc/self/root/etc", "/proc/1", "/tmp/t", "../etc", "/dev", "/"):
        await refuses_copy(box, source, bed.folder / "down")
    assert (await box.run("ls -A /var/tmp")).stdout == ""
    assert [path.name for path in bed.folder.iterdir()] == ["tree"]


async def links_swapped_in_meanwhile(bed: Bed) -> None:
    """A program that swaps links in while files are moved gains nothing: no link is followed, none arrives."""
    box = await bed.start()
    await box.write({"/tmp/swap.py": _SWAP.encode()})
    await box.run("python /tmp/swap.py &")
    for number in range(100):
        with contextlib.suppress(SandboxFileError):
            assert await box.read("race/passwd") == b"mine"
        with contextlib.suppress(SandboxFileError):
            assert await box.read("swap/a") in (b"mine", b"")
        with contextlib.suppress(SandboxFileError):
            target = bed.folder / str(number)
            await box.download("swap", target)
            assert {kind for kind, _, _ in snapshot(target).values()} <= {"file"}
            assert {data for _, _, data in snapshot(target).values()} <= {b"mine", b""}


async def folders_that_lead_nowhere(bed: Bed) -> None:
    """Trees far deeper than any path may be long come down whole or are refused, in time either way."""
    box = await bed.start()
    deep = "import os\nos.chdir('/tmp')\nfor _ in range(3000):\n    os.mkdir('d'); os.chdir('d')\nopen('end', 'w')"
    await box.run(["python", "-c", deep])
    with contextlib.suppress(SandboxFileError):
        await asyncio.wait_for(box.download("/tmp/d", bed.folder / "deep"), 60)
    assert (await box.run("echo on; rm -rf /tmp/d")).stdout == "on\n"


async def names_of_any_bytes(bed: Bed) -> None:
    """Names with newlines, backslashes, leading dots or bytes that are no text come down as they are or are refused."""
    box = await bed.start()
    names = rb"""$'a\nb' 'a\b' '...' '..x' ' ' '~' $'\xff\xfe' 'C:' 'nul' '$(x)' ./-"""
    await box.run("mkdir /tmp/t; cd /tmp/t; touch " + names.decode() + "; cd /testbed")
    try:
        await box.download("/tmp/t", bed.folder / "t")
    except SandboxFileError:
        await box.run("rm /tmp/t/$'\\xff\\xfe'")
        await box.download("/tmp/t", bed.folder / "t")
    found = set(os.listdir(os.fsencode(bed.folder / "t")))
    assert found - {b"\xff\xfe"} == {b"a\nb", b"a\\b", b"...", b"..x", b" ", b"~", b"C:", b"nul", b"$(x)", b"-"}


async def files_with_holes_fill_no_disk_here(bed: Bed) -> None:
    """Huge files with holes and many hard links, small inside, bring at most 1 GiB down to whoever downloads them."""
    box = await bed.start(tmp_mb=16, file_mb=64)
    for name, make in (("holes", "truncate -s 60M /tmp/holes/$i"), ("hard", "ln /tmp/one /tmp/hard/$i")):
        script = "head -c 8000000 /dev/zero >/tmp/one; mkdir -p /tmp/{}; for i in $(seq 300); do {}; done"
        await box.run(script.format(name, make))
        with contextlib.suppress(SandboxFileError):
            await box.download(f"/tmp/{name}", bed.folder / name)
        taken = sum(path.stat().st_blocks * 512 for path in bed.folder.rglob("*") if path.is_file())
        assert taken <= 1 << 30, f"{taken >> 20} MiB came down from a sandbox of 16"
    assert (await box.run("echo on")).stdout == "on\n"


async def special_files_in_the_way(bed: Bed) -> None:
    """FIFOs and devices where a file is to be written or read hold nobody up."""
    box = await bed.start()
    await box.run("mkdir -p t/a; mkfifo t/a/fifo t/fifo; ln -s /dev/zero t/zero; ln -s /dev/tty t/a/tty")
    tree = bed.folder / "tree"
    (tree / "a").mkdir(parents=True)
    for name in ("fifo", "a/fifo", "zero", "a/tty"):
        (tree / name).write_text("x")
    for attempt in (
        box.upload(tree, "t"),
        box.download("t", bed.folder / "down"),
        box.read("t/fifo"),
        box.read("t/zero"),
    ):
        try:
            await asyncio.wait_for(attempt, 20)
        except SandboxFileError:
            continue
        raise AssertionError("a special file was not refused")
    assert [path.name for path in bed.folder.iterdir()] == ["tree"]
