"""Trees on their way to a service: what arrives is what was sent, and a hostile archive changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tarfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sandbox import Image, SandboxError
from sandbox.service.tree_store import TreeStore
from sandbox.tree_archive import TreeRefused, image_survey, pack, tree_digest, unpack


def _entry(
    name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **more: object
) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.size = len(data)
    for key, value in more.items():
        setattr(entry, key, value)
    return entry, data


def _tar(*entries: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, data in entries:
            tar.addfile(entry, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def _tree(folder: Path) -> Path:
    tree = folder / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "package" / "deep").mkdir(parents=True)
    (tree / "package" / "code.py").write_bytes(b"x = 1\n" * 1000)
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o4711)
    (tree / ("n" * 200)).write_text("")
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff\xfe")).write_text("no UTF-8")
    (tree / "out").symlink_to("/etc")
    (tree / "package" / "up").symlink_to("../run.sh")
    os.utime(tree / "package" / "code.py", (1e9, 1e9))
    return tree


def test_what_arrives_is_what_was_sent(tmp_path: Path) -> None:
    tree, copy, archive = _tree(tmp_path), tmp_path / "copy", io.BytesIO()
    pack(tree, archive)
    archive.seek(0)
    copy.mkdir()
    unpack(archive, copy)
    assert tree_digest(copy) == tree_digest(tree)
    assert (copy / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert (copy / "package" / "code.py").stat().st_mode & 0o7777 == 0o644
    assert (copy / "package" / "code.py").stat().st_mtime == 1e9
    assert os.readlink(copy / "out") == "/etc"
    assert (copy / "empty").is_dir()


CHANGES: list[Callable[[Path], object]] = [
    lambda tree: (tree / "run.sh").chmod(0o644),
    lambda tree: (tree / "empty").rmdir(),
    lambda tree: (tree / "package" / "code.py").write_bytes(b"x = 2\n"),
    lambda tree: (tree / "run.sh").rename(tree / "run"),
    lambda tree: ((tree / "out").unlink(), (tree / "out").symlink_to("/usr")),
    lambda tree: ((tree / "out").unlink(), (tree / "out").write_text("/etc")),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_changes_the_digest(tmp_path: Path, change: Callable[[Path], object]) -> None:
    tree = _tree(tmp_path)
    before = tree_digest(tree)
    (tree / "run.sh").touch()
    assert tree_digest(tree) == before
    change(tree)
    assert tree_digest(tree) != before


def test_what_cannot_travel_is_refused_where_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(TreeRefused, match="fifo is no folder"):
        tree_digest(tmp_path)
    with pytest.raises(SandboxError, match="not a folder"):
        image_survey(Image("gone", tmp_path / "gone"))


OUTSIDE = f"/tmp/hostile-{os.getpid()}"
LINK = _entry("link", tarfile.SYMTYPE, linkname="/")
HOSTILE = {
    "absolute": [_entry(OUTSIDE, data=b"x")],
    "up": [_entry("../hostile", data=b"x")],
    "up inside": [_entry("a", tarfile.DIRTYPE), _entry("a/../../hostile", data=b"x")],
    "dot": [_entry("./hostile", data=b"x")],
    "no name": [_entry("", data=b"x")],
    "through a link": [_entry("link", tarfile.SYMTYPE, linkname=".."), _entry("link/hostile", data=b"x")],
    "through a link and folder": [LINK, _entry("link/tmp", tarfile.DIRTYPE), _entry(f"link{OUTSIDE}", data=b"x")],
    "over a link": [_entry("link", tarfile.SYMTYPE, linkname="../hostile"), _entry("link", data=b"x")],
    "folder over a link": [LINK, _entry("link", tarfile.DIRTYPE)],
    "link over a folder": [_entry("a", tarfile.DIRTYPE), _entry("a", tarfile.SYMTYPE, linkname="/")],
    "link over a link": [LINK, LINK],
    "file over a file": [_entry("a", data=b"x"), _entry("a", data=b"y")],
    "hard link": [_entry("hostile", tarfile.LNKTYPE, linkname="/etc/passwd")],
    "hard link inside": [_entry("a", data=b"x"), _entry("b", tarfile.LNKTYPE, linkname="a")],
    "FIFO": [_entry("hostile", tarfile.FIFOTYPE)],
    "character device": [_entry("hostile", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "block device": [_entry("hostile", tarfile.BLKTYPE, devmajor=8)],
    "no folder for it": [_entry("a/b/hostile", data=b"x")],
    "below a file": [_entry("a", data=b"x"), _entry("a/hostile", data=b"x")],
    "a type nobody knows": [_entry("hostile", b"Z")],
    "NUL": [_entry("hos", data=b"x", pax_headers={"path": "hos\0tile"})],
    "sparse": [_entry("hostile", data=b"x", pax_headers={"GNU.sparse.size": "99", "GNU.sparse.map": "0,1"})],
    "time without end": [_entry("hostile", data=b"x", pax_headers={"mtime": "1e300"})],
    "size below nothing": [_entry("hostile", data=b"x", pax_headers={"size": "-5"})],
    "name too long": [_entry("h" * 300, data=b"x")],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused_and_writes_nothing_outside(
    tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(TreeRefused):
        unpack(_tar(*entries), folder)
    assert list(tmp_path.iterdir()) == [folder]
    assert not Path(OUTSIDE).exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    whole = _tar(_entry("a", data=b"x" * 5000)).getvalue()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(*[_entry("a")[0]])
    nested = b"".join(_tar(_entry("a", pax_headers={"comment": "x"})).getvalue()[:1024] for _ in range(5000))
    for data in (b"", b"junk" * 500, whole[:3000], packed.getvalue(), nested):
        with pytest.raises(TreeRefused):
            unpack(io.BytesIO(data), tmp_path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.tree_archive.MAX_ENTRIES", 3)
    with pytest.raises(TreeRefused, match="more than 3 files"):
        unpack(_tar(*(_entry(str(n)) for n in range(4))), tmp_path)


# --- the store


async def _chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


def _packed(tree: Path) -> bytes:
    buffer = io.BytesIO()
    pack(tree, buffer)
    return buffer.getvalue()


async def test_a_tree_is_found_once_it_is_whole_and_right(tmp_path: Path) -> None:
    store, tree = TreeStore(tmp_path / "store"), _tree(tmp_path)
    digest, data = tree_digest(tree), _packed(tree)
    with store.use(digest) as found:
        assert found is None
    with pytest.raises(TreeRefused, match="not the one"):
        await store.receive("0" * 64, _chunks(data))
    with pytest.raises(TreeRefused):
        await store.receive(digest, _chunks(data[:-20000]))
    assert list((tmp_path / "store").iterdir()) == []
    await asyncio.gather(*(store.receive(digest, _chunks(data[:700], data[700:])) for _ in range(4)))
    with store.use(digest) as found:
        assert found is not None
        assert tree_digest(found) == digest
    assert [place.name for place in (tmp_path / "store").iterdir()] == [digest]


async def test_an_archive_too_large_is_refused(tmp_path: Path) -> None:
    store = TreeStore(tmp_path / "store", max_archive=2 << 20)
    with pytest.raises(TreeRefused, match="larger than the 2 MiB"):
        await store.receive("0" * 64, _chunks(*[bytes(1 << 20)] * 3))
    assert list((tmp_path / "store").iterdir()) == []


async def test_trees_not_used_for_longest_go_first_and_those_in_use_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.service.tree_store.SPARED", 1)
    store = TreeStore(tmp_path / "store", max_kept=70_000)
    digests = []
    for number in range(4):
        tree = tmp_path / str(number)
        tree.mkdir()
        (tree / "big").write_bytes(bytes([number]) * 20_000)
        digests.append(tree_digest(tree))
        await store.receive(digests[-1], _chunks(_packed(tree)))
        os.utime(tmp_path / "store" / digests[-1] / "size", (time.time() - 1000 + number,) * 2)
        if number == 0:
            held = contextlib.ExitStack()
            assert held.enter_context(store.use(digests[0])) is not None
            os.utime(tmp_path / "store" / digests[0] / "size", (1, 1))

    def known() -> list[int]:
        return [n for n, digest in enumerate(digests) if (tmp_path / "store" / digest).is_dir()]

    store.prune()
    assert known() == [0, 2, 3]
    held.close()
    store.prune()
    assert known() == [2, 3]
    assert sorted(place.name for place in (tmp_path / "store").iterdir()) == sorted(digests[2:])
