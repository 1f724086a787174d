"""What a folder holds besides files: links that lead nowhere or in a circle, pipes, what may not be read."""

from __future__ import annotations

import os
import socket

import pytest

from trajectories.formats import FormatError, find
from trajectories.formats.folders import Walk


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    (made / "sub").mkdir(parents=True)
    (made / "a.jsonl").write_text('{"messages": []}\n')
    (made / "sub/b.jsonl").write_text('{"messages": []}\n')
    return made


def names(walk, *paths):
    return [file.name for path in paths for file in walk.files(path)]


def test_a_link_to_nothing_is_told_and_the_rest_is_read(folder):
    (folder / "gone.json").symlink_to("nowhere")
    (folder / "old").symlink_to("nowhere")
    (folder / "self.jsonl").symlink_to("self.jsonl")
    (folder / ".#lock").symlink_to("somebody@host")
    walk = Walk()
    assert names(walk, folder) == ["a.jsonl", "b.jsonl"]
    passed = {what: [path.name for path in paths] for what, paths in walk.passed_over.items()}
    assert passed == {"a link to nothing": ["gone.json", "old", "self.jsonl"]} and not walk.problems


def test_every_file_is_given_once_however_links_lead(folder, tmp_path):
    (folder / "sub/loop").symlink_to("..")
    (folder / "sub/up").symlink_to(tmp_path)
    (folder / "again.jsonl").symlink_to("sub/b.jsonl")
    (tmp_path / "outside.jsonl").write_text("{}")
    walk = Walk()
    assert names(walk, folder, folder, folder / "sub", folder / "a.jsonl") == [
        "a.jsonl",
        "again.jsonl",
        "outside.jsonl",
    ]
    assert not walk.passed_over and not walk.problems


def test_what_is_no_plain_file_is_never_opened(folder, tmp_path):
    os.mkfifo(folder / "pipe.jsonl")
    os.mkfifo(folder / "pipe")
    (folder / "null.json").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket.traj"))
        walk = Walk()
        assert names(walk, folder) == ["a.jsonl", "b.jsonl"]
    assert [path.name for path in walk.passed_over["no plain file"]] == ["null.json", "pipe.jsonl", "socket.traj"]
    assert names(walk, folder / "pipe") == [] and "pipe is no plain file" in walk.problems[0]
    with pytest.raises(FormatError, match=r"pipe\.jsonl: it is no plain file"):
        list(find("chat").read(folder / "pipe.jsonl"))


def test_a_folder_that_may_not_be_read_is_named(folder, monkeypatch):
    (folder / "closed").mkdir()
    plain = type(folder).iterdir

    def iterdir(path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(type(folder), "iterdir", iterdir)
    walk = Walk()
    assert names(walk, folder) == ["a.jsonl", "b.jsonl"]
    assert walk.problems == [f"{folder}/closed cannot be read (permission denied): let this user read it"]


def test_a_damaged_conversation_does_not_keep_the_others_out(folder):
    (folder / "one/events").mkdir(parents=True)
    (folder / "one/events/0.json").write_text('{"kind": ')
    walk = Walk()
    assert names(walk, folder) == ["a.jsonl", "b.jsonl"]
    assert "0.json, line 1: this is not JSON (the file ends too early)" in walk.problems[0]
