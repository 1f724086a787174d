"""Trees that the sandbox's user owns: copied once, never mixed up, removed when of no more use."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from sandbox import Image, trees
from sandbox.jail import SANDBOX_UID
from sandbox.local import make_cell
from sandbox.protocol import Limits, SandboxError
from sandbox.trees import owned_tree, prune_copies


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    monkeypatch.setenv("CONTEXTRL_HOME", str(tmp_path / "home"))
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "a.py").write_text("x = 1\n")
    (tree / "sub" / "a.py").chmod(0o755)
    (tree / "dangling").symlink_to("nowhere")
    return Image("one", tree)


def test_a_tree_of_the_right_owner_is_used_as_it_is(image: Image) -> None:
    assert owned_tree(image, os.geteuid()) == image.tree


def test_a_tree_that_cannot_be_copied_is_one_sentence(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: str, **_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source)

    monkeypatch.setattr(shutil, "copystat", full)
    with pytest.raises(SandboxError, match=r"cannot be copied to .*No space left.*CONTEXTRL_HOME"):
        owned_tree(image, SANDBOX_UID)


def test_a_copy_is_made_once_and_is_whole(image: Image) -> None:
    copy = owned_tree(image, SANDBOX_UID)
    assert copy != image.tree
    assert (copy / "sub" / "a.py").read_text() == "x = 1\n"
    assert (copy / "sub" / "a.py").stat().st_mode & 0o777 == 0o755
    assert os.readlink(copy / "dangling") == "nowhere"
    if os.geteuid() == 0:
        assert {entry.lstat().st_uid for entry in (copy, *copy.rglob("*"))} == {SANDBOX_UID}
    (copy / "mark").touch()
    assert (owned_tree(image, SANDBOX_UID) / "mark").exists()
    assert not (image.tree / "mark").exists()


def test_equal_names_with_other_trees_are_not_mixed_up(image: Image, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert owned_tree(Image("one", other), SANDBOX_UID) != owned_tree(image, SANDBOX_UID)


def test_what_was_changed_in_the_tree_is_copied_anew(image: Image) -> None:
    source = image.tree / "sub" / "a.py"
    first = owned_tree(image, SANDBOX_UID)
    source.chmod(0o644)
    plain = owned_tree(image, SANDBOX_UID)
    assert plain != first and not (plain / "sub" / "a.py").stat().st_mode & 0o111
    source.write_text("x = 2\n")
    changed = owned_tree(image, SANDBOX_UID)
    assert (changed / "sub" / "a.py").read_text() == "x = 2\n"
    assert owned_tree(image, SANDBOX_UID) == changed


def test_a_tree_is_listed_once_for_all_starts_of_a_backend(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, listings = [], {}
    monkeypatch.setattr(trees, "_listing", lambda tree: listed.append(tree) or "as it is")
    assert len({owned_tree(image, SANDBOX_UID, listings) for _ in range(3)}) == len(listed) == 1
    (image.tree / "new").touch()
    owned_tree(image, SANDBOX_UID, listings)
    assert len(listed) == 2


def test_old_copies_whose_source_is_gone_are_removed(image: Image, tmp_path: Path) -> None:
    copy = owned_tree(image, SANDBOX_UID)
    image.tree.rename(tmp_path / "moved")
    prune_copies()
    assert copy.exists()
    note = copy.with_suffix(".source")
    os.utime(note, (0, time.time() - 2 * 24 * 3600))
    prune_copies()
    assert not copy.exists()
    assert list(copy.parent.iterdir()) == []


def test_a_tree_that_sandboxes_could_read_where_it_lies_is_refused(image: Image, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    with pytest.raises(SandboxError, match=f"image one: its tree {image.tree} lies in {tmp_path}, which local sandbox"):
        make_cell(dataclasses.replace(image, python=python), Limits(), network=False)
    with pytest.raises(SandboxError, match="lies in /usr, which"):
        make_cell(Image("two", Path("/usr/share")), Limits(), network=False)
