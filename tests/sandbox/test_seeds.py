"""Small trees on their way into a container: what the guest makes is what the owner had."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from sandbox import Image, SandboxError
from sandbox.guest.frames import Channel
from sandbox.guest.seed import fill
from sandbox.seeds import Seeds, seed_frames


def _listing(tree: Path) -> list[tuple[bytes, int, int, bytes]]:
    found = []
    for parent, folders, files in os.walk(os.fsencode(tree)):
        for name in folders + files:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            if os.path.islink(path):
                found.append((os.path.relpath(path, os.fsencode(tree)), 0, 0, os.readlink(path)))
            else:
                content = Path(os.fsdecode(path)).read_bytes() if os.path.isfile(path) else b""
                found.append((os.path.relpath(path, os.fsencode(tree)), status.st_mode, status.st_mtime_ns, content))
    return sorted(found)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "large").write_bytes(os.urandom(700_001))
    (tree / "deep" / "nothing").touch()
    (tree / "program").write_text("#!/bin/sh\n")
    (tree / "program").chmod(0o755)
    (tree / os.fsdecode(b"\xff name\n")).write_text("any bytes")
    (tree / "link").symlink_to("deep/er")
    (tree / "out").symlink_to("/etc/passwd")
    for number in range(2_500):
        (tree / f"{number}.txt").write_text(str(number))
    for number, path in enumerate(sorted(tree.rglob("*"))):
        if not path.is_symlink():
            os.utime(path, ns=(0, 1_000_000_007 * number))
    return tree


def test_the_guest_makes_what_the_owner_had(tree: Path, tmp_path: Path) -> None:
    frames, copy = list(seed_frames(tree)), tmp_path / "copy"
    copy.mkdir()
    with tempfile.TemporaryFile() as sent:
        sent.write(b"".join(frames))
        sent.seek(0)
        channel = Channel(sent.fileno(), sent.fileno())
        fill(channel, len(frames), str(copy))
        assert not channel.pending
    assert _listing(copy) == _listing(tree)
    assert max(map(len, frames)) < 1 << 18


def test_an_empty_tree_needs_no_frame(tmp_path: Path) -> None:
    assert list(seed_frames(tmp_path)) == []


@pytest.mark.asyncio
async def test_what_gave_way_is_read_again(tmp_path: Path) -> None:
    images = []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(1000))
        images.append(Image(name, tmp_path / name))
    seeds = Seeds(most=2500)
    kept = [await seeds.of(image) for image in images[:2]]
    assert await seeds.of(images[0]) is kept[0]
    await seeds.of(images[2])  # the second was used longest ago
    assert await seeds.of(images[0]) is kept[0]
    again = await seeds.of(images[1])
    assert again == kept[1]
    assert again is not kept[1]


@pytest.mark.asyncio
async def test_a_tree_that_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").symlink_to("x")
    image = Image("gone", tmp_path / "tree")
    (tmp_path / "tree").rename(tmp_path / "moved")
    with pytest.raises(SandboxError, match=r"gone: .* is not a folder"):
        await Seeds().of(image)
