"""Files: `read` and `write` serve regular files below /testbed and /tmp, byte for byte."""

from __future__ import annotations

from sandbox.conformance.bed import Bed
from sandbox.conformance.refusals import refuses_file
from sandbox.protocol import SandboxFileError

_OUTSIDE = ("../etc/passwd", "/etc/passwd", "/tmp/../etc/passwd", "outside/passwd", "/testbed/../../etc/passwd", "/x")
_NO_FILES = ("package", "/tmp", "/testbed", "", ".", "..", "package/", "a\0b", "package/..")


async def files_come_back_as_they_went(bed: Bed) -> None:
    """Files of any bytes and names come back as they went and belong to the sandbox's user."""
    box = await bed.start()
    blob = bytes(range(256)) * 5000
    names = {"new/deep/blob": blob, "/tmp/t.txt": b"t", "readme.txt": b"", "ü \n'\"$(x).txt": b"odd", "-rf": b"dash"}
    await box.write(names)
    for name, data in names.items():
        assert await box.read(name) == data, name
    assert await box.read("/testbed/new/deep/blob") == blob
    assert await box.read("link.txt") == b""
    owners = "cat /tmp/t.txt; wc -c <readme.txt; stat -c %u . package new/deep/blob readme.txt | sort -u | wc -l"
    assert (await box.run(owners)).stdout == "t0\n1\n"


async def files_are_overwritten_and_deleted(bed: Bed) -> None:
    """A shorter file replaces a longer one; None deletes, also what is not there."""
    box = await bed.start()
    await box.write({"long.txt": b"0123456789"})
    await box.write({"long.txt": b"short", "package/code.py": None, "link.txt": None, "never-was.txt": None})
    assert await box.read("long.txt") == b"short"
    assert (await box.run("ls package; ls *.txt")).stdout == "long.txt\nreadme.txt\n"
    try:
        await box.read("package/code.py")
    except SandboxFileError as error:
        assert "No such file" in str(error)
    else:
        raise AssertionError("a deleted file was read")


async def a_big_file(bed: Bed) -> None:
    """Tens of megabytes pass in both directions."""
    box = await bed.start()
    data = bytes(range(251)) * 130_000
    await box.write({"big": data})
    assert await box.read("big") == data
    assert (await box.run("wc -c <big")).stdout == f"{len(data)}\n"


async def paths_outside_and_folders_are_refused(bed: Bed) -> None:
    """Paths that lead out of /testbed and /tmp, and folders, are refused; the sandbox goes on."""
    box = await bed.start()
    for path in _OUTSIDE + _NO_FILES:
        await refuses_file(box, path)
        try:
            await box.write({path: None})
        except SandboxFileError:
            continue
        raise AssertionError(f"deleting {path!r} was not refused")
    assert (await box.run("cat readme.txt")).stdout == "hello\n"
    assert "root" in (await box.run("cat /etc/passwd")).stdout


async def special_files_are_refused(bed: Bed) -> None:
    """Links that lead out, FIFOs, sockets and devices are refused at once, and can be deleted."""
    box = await bed.start()
    bind = "import socket; socket.socket(socket.AF_UNIX).bind('socket')"
    await box.run("mkfifo fifo; ln -s /etc/passwd l; ln -s /proc/1/environ e; ln -s loop loop; ln -s /dev/zero z")
    await box.run(["python", "-c", bind])
    special = ("fifo", "l", "e", "loop", "z", "socket")
    for path in special:
        await refuses_file(box, path)
    await box.write(dict.fromkeys(special, None))
    assert (await box.run("ls")).stdout == "link.txt\noutside\npackage\nreadme.txt\n"
    assert "root" in (await box.run("cat /etc/passwd")).stdout


async def links_that_stay_inside_are_followed(bed: Bed) -> None:
    """A link to a file below /testbed or /tmp is read and written through."""
    box = await bed.start()
    await box.run("ln -s package/code.py in; ln -s ../tmp tmp; ln -s /tmp/new made")
    assert await box.read("in") == b"x = 1\n"
    await box.write({"tmp/through": b"1", "made": b"2"})
    assert (await box.run("cat /tmp/through /tmp/new; readlink made")).stdout == "12/tmp/new\n"
