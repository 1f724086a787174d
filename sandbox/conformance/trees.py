"""Trees: `upload` and `download` copy files and folders, and refuse whatever is neither."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from sandbox.conformance.bed import Bed
from sandbox.conformance.refusals import refuses_copy, snapshot
from sandbox.protocol import SandboxFileError


def _tree(folder: Path) -> Path:
    tree = folder / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "deep" / "er" / "ü ß").mkdir(parents=True)
    (tree / "deep" / "er" / "ü ß" / "naïve 'quoted' $x \n.txt").write_bytes(bytes(range(256)))
    (tree / "nothing").touch()
    (tree / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "-rf").write_text("dash")
    (tree / ".hidden").write_text("dot")
    return tree


async def a_tree_comes_back_as_it_went(bed: Bed) -> None:
    """Contents, names, execute bits, empty folders and empty files come back as they went."""
    box = await bed.start()
    tree = _tree(bed.folder)
    for target in ("up", "/tmp/new/parents/up"):
        await box.upload(tree, target)
        assert (await box.run([target + "/run.sh"] if target[0] == "/" else "./up/run.sh")).stdout == "ran\n"
        back = bed.folder / target.replace("/", "_")
        await box.download(target, back)
        assert snapshot(back) == snapshot(tree)
    assert (await box.run("find up /tmp/new ! -user $(id -u)")).stdout == ""


async def single_files_too(bed: Bed) -> None:
    """One file goes up and comes down, with its execute bit; parents are made inside."""
    box = await bed.start()
    source = bed.folder / "script"
    source.write_bytes(b"#!/bin/sh\necho \xff\n")
    source.chmod(0o700)
    await box.upload(source, "made/by/upload")
    assert (await box.run("made/by/upload")).stdout == "\\xff\n"
    await box.download("made/by/upload", bed.folder / "back")
    assert (bed.folder / "back").read_bytes() == source.read_bytes()
    assert (bed.folder / "back").stat().st_mode & 0o100
    await box.download("readme.txt", bed.folder / "readme")
    assert not (bed.folder / "readme").stat().st_mode & 0o111


async def uploads_refuse_what_is_no_file(bed: Bed) -> None:
    """A link, FIFO, socket or device in the source is refused by name, and nothing changes inside."""
    box = await bed.start()
    with socket.socket(socket.AF_UNIX) as bound:
        for kind in ("link", "dangling", "fifo", "socket"):
            tree = bed.folder / kind
            (tree / "sub").mkdir(parents=True)
            (tree / "a.txt").write_text("a")
            culprit = tree / "sub" / f"the-{kind}"
            if kind == "fifo":
                os.mkfifo(culprit)
            elif kind == "socket":
                bound.bind(str(culprit))
            else:
                culprit.symlink_to("../a.txt" if kind == "link" else "nowhere")
            await refuses_copy(box, tree, f"/tmp/{kind}", culprit.name)
            await refuses_copy(box, culprit, f"/tmp/{kind}", culprit.name)
    await refuses_copy(box, Path("/dev/null"), "/tmp/null", "null")
    await refuses_copy(box, bed.folder / "no-such", "/tmp/none", "no-such")
    assert (await box.run("ls -A /tmp")).stdout == ""


async def downloads_refuse_what_is_no_file(bed: Bed) -> None:
    """A link, FIFO, socket or device in the source is refused by name, and nothing appears on this machine."""
    box = await bed.start()
    bind = "import socket; socket.socket(socket.AF_UNIX).bind('the-socket')"
    for kind, command in (
        ("link", "ln -s a.txt the-link"),
        ("dangling", "ln -s nowhere the-dangling"),
        ("out", "ln -s /etc the-out"),
        ("fifo", "mkfifo the-fifo"),
        ("socket", f'python -c "{bind}"'),
    ):
        await box.run(
            f"mkdir -p /tmp/{kind}/sub; cd /tmp/{kind}; echo a >a.txt; cd sub; echo b >b; {command}; cd /testbed"
        )
        await refuses_copy(box, f"/tmp/{kind}", bed.folder / kind, f"the-{kind}")
        await refuses_copy(box, f"/tmp/{kind}/sub/the-{kind}", bed.folder / kind, f"the-{kind}")
    for path in (
        "/etc",
        "/etc/passwd",
        "/dev/null",
        "/proc/self",
        "no-such",
        "outside",
        "outside/passwd",
        "../etc",
        "/",
    ):
        await refuses_copy(box, path, bed.folder / "out")
    assert list(bed.folder.iterdir()) == []


async def targets_outside_are_refused(bed: Bed) -> None:
    """`..`, absolute paths and links that lead out of /testbed and /tmp are no targets of an upload."""
    box = await bed.start()
    tree = _tree(bed.folder)
    await box.run("ln -s /etc /tmp/etc; ln -s /var/tmp/x way-out")
    for target in (
        "../up",
        "/up",
        "/etc/up",
        "/tmp/../up",
        "outside/up",
        "/tmp/etc/up",
        "way-out/up",
        "a\0b",
        "/dev/shm/up",
    ):
        await refuses_copy(box, tree, target)
        await refuses_copy(box, tree / "run.sh", target)
    assert (await box.run("ls -d /up /etc/up /var/tmp/x")).stdout == ""


async def targets_that_exist(bed: Bed) -> None:
    """An upload onto a folder overwrites equal names and leaves the others; a download never writes over anything."""
    box = await bed.start()
    tree = bed.folder / "tree"
    (tree / "package").mkdir(parents=True)
    (tree / "package" / "code.py").write_text("x = 2\n")
    await box.upload(tree, "/testbed")
    assert (await box.run("cat package/code.py readme.txt")).stdout == "x = 2\nhello\n"
    await box.upload(tree / "package" / "code.py", "readme.txt")
    assert await box.read("readme.txt") == b"x = 2\n"
    for source in ("package", "readme.txt"):
        try:
            await box.download(source, tree)
        except SandboxFileError as error:
            assert str(tree) in str(error)
        else:
            raise AssertionError("a download wrote over a folder")
    assert snapshot(tree) == {
        "package": ("folder", False, b""),
        "package/code.py": ("file", False, b"x = 2\n"),
    }


async def two_thousand_files(bed: Bed) -> None:
    """A folder with 2,000 files, and one of tens of megabytes, go up and come down."""
    box = await bed.start()
    tree = bed.folder / "tree"
    for number in range(2000):
        path = tree / str(number % 40) / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    (tree / "big").write_bytes(os.urandom(1 << 20) * 30)
    await box.upload(tree, "/tmp/many")
    assert (await box.run("find /tmp/many -type f | wc -l")).stdout == "2001\n"
    await box.download("/tmp/many", bed.folder / "back")
    assert snapshot(bed.folder / "back") == snapshot(tree)


async def an_upload_that_does_not_fit_is_told(bed: Bed) -> None:
    """An upload beyond the sandbox's space or file size raises `SandboxFileError`, and the sandbox goes on."""
    box = await bed.start(tmp_mb=8, file_mb=4)
    tree = bed.folder / "tree"
    tree.mkdir()
    (tree / "big").write_bytes(bytes(5 << 20))
    await refuses_copy(box, tree, "/tmp/big")
    (tree / "big").unlink()
    for number in range(4):
        (tree / str(number)).write_bytes(os.urandom(3 << 20))
    await refuses_copy(box, tree, "/tmp/many")
    assert (await box.run("rm -rf /tmp/big /tmp/many; echo on")).stdout == "on\n"
