"""From files into a store: what is damaged, refused or there already does not keep the rest out, and is told."""

from __future__ import annotations

import gzip
import json

import pytest
from test_reading import small, written

from trajectories.formats import find
from trajectories.formats.document import fields
from trajectories.formats.finding import find_files
from trajectories.formats.importing import Imported, Importer
from trajectories.protocol import StoreError
from trajectories.store import SQLStore


def chats(path, number, first=0):
    rows = [{"messages": [{"role": "user", "content": f"task {i}"}]} for i in range(first, first + number)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def records(path, *trajectories):
    path.write_text("".join(json.dumps(fields(t)) + "\n" for t in trajectories))
    return path


def imported(store, *paths, name="auto", run="r"):
    result = Imported()
    files = find_files(paths, name, result)
    with SQLStore(store) as opened:
        Importer(opened, result, run_of=lambda trajectory: run).add(files)
    return result


def count(store, **filters):
    with SQLStore(store, create=False) as opened:
        return opened.count(**filters)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store.db"


def test_a_cut_archive_and_a_cut_file_keep_what_stands_before_and_go_on_when_whole(store, tmp_path):
    whole = chats(tmp_path / "whole.jsonl", 400).read_bytes()
    plain, packed = tmp_path / "cut.jsonl", tmp_path / "cut.jsonl.gz"
    plain.write_bytes(whole[: len(whole) // 2 + 9])
    packed.write_bytes(gzip.compress(whole)[:-300])
    for path, why in ((plain, "this is not JSON (the file ends too early)"), (packed, "the archive ends too early")):
        result = imported(store, path, chats(tmp_path / "other.jsonl", 3, first=900), run=path.name)
        kept = result.stored.total() - 3
        assert 50 < kept < 400 and result.problems == [
            f"{path}, line {kept + 1}: {why}; what stands before it is imported ({kept} trajectories), "
            "the rest is not: mend the file or get it again, and the same command goes on"
        ]
        assert count(store, run=path.name) == kept + 3
        path.write_bytes(gzip.compress(whole) if path is packed else whole)
        again = imported(store, path, run=path.name)
        assert (again.new, again.stored.total(), again.problems) == (400 - kept, 400, [])


def test_a_file_that_cannot_be_read_at_all_is_named_and_the_others_are_kept(store, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    chats(folder / "a.jsonl", 2)
    (folder / "junk.jsonl.gz").write_bytes(b"no archive at all")
    (folder / "broken.json").symlink_to("/proc/self/mem")  # a plain file whose bytes nobody gets, not even root
    (folder / "z.json").write_text("[1, 2]")
    result = imported(store, folder)
    assert result.stored == {"chat": 2} and [path.name for path in result.passed_over["no trajectory"]] == ["z.json"]
    broken, junk = result.problems
    assert broken.startswith(f"{folder}/broken.json: it cannot be read (input/output error); nothing of it is imported")
    assert junk.startswith(f"{folder}/junk.jsonl.gz: the archive is damaged, or is none (")
    direct = imported(store, folder / "junk.jsonl.gz", folder / "z.json", folder / "a.jsonl")
    assert direct.problems == [junk, f"{folder}/z.json is of no format that is known: name it with --format"]
    assert direct.stored.total() == 2


def test_what_the_store_refuses_is_told_with_its_line(store, tmp_path):
    imported(store, records(tmp_path / "a.jsonl", small(1), small(7)))
    changed = small(7).model_copy(update={"patch": "another"})
    path = records(tmp_path / "b.jsonl", *map(small, range(2, 6)), changed, small(8))
    result = imported(store, path, records(tmp_path / "c.jsonl", small(9)))
    (said,) = result.problems
    assert said.startswith(f"{path}, line 5: Trajectory ") and "is already stored with other contents" in said
    assert "what stands before it is imported (4 trajectories), the rest is not" in said
    assert (result.new, count(store)) == (5, 7)
    out = tmp_path / "t.parquet"
    find("parquet").write([small(1), changed], out)
    (said,) = imported(store, out).problems
    assert said.startswith(f"{out}, trajectory 2: Trajectory ") and "(1 trajectory)" in said


def test_a_store_that_fails_ends_the_import_and_says_where(store, tmp_path, monkeypatch):
    path, plain = chats(tmp_path / "a.jsonl", 100), SQLStore.add_many

    def full(self, trajectories):
        if self.count() >= 64:
            raise StoreError("The disk is full.")
        plain(self, trajectories)

    monkeypatch.setattr(SQLStore, "add_many", full)
    with pytest.raises(StoreError, match=f"{path}, line 65: The disk is full; 64 are imported, and the same command"):
        imported(store, path)
    monkeypatch.undo()
    assert (imported(store, path).new, count(store)) == (36, 100)


def test_what_stands_in_another_run_already_is_counted(store, tmp_path):
    path = chats(tmp_path / "a.jsonl", 40)
    assert imported(store, path, run="first").elsewhere == {}
    assert imported(store, path, run="first").elsewhere == {}
    assert imported(store, chats(tmp_path / "b.jsonl", 50, first=20), run="second").elsewhere == {"first": 20}
    assert imported(store, path, run="third").elsewhere == {"first": 40, "second": 20}
    ours = records(tmp_path / "own.jsonl", small(1, run="own"))
    imported(store, ours, run="own")
    assert imported(store, ours, run="else").elsewhere == {"own": 1}


def test_what_stands_twice_in_a_file_is_new_once(store, tmp_path):
    path = chats(tmp_path / "a.jsonl", 3)
    path.write_text(path.read_text() * 2)
    result = imported(store, path)
    assert (result.new, result.stored.total(), count(store)) == (3, 6, 3)


def test_another_format_that_is_asked_for_is_left_out_by_its_name(store, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    chats(folder / "a.jsonl", 2)
    records(folder / "b.jsonl", small(1))
    result = imported(store, folder, name="chat")
    assert result.stored == {"chat": 2} and [path.name for path in result.passed_over["contextrl"]] == ["b.jsonl"]


def test_a_wrong_format_is_told_with_the_right_one(store, tmp_path):
    (said,) = imported(store, written(tmp_path, {"messages": []}), name="atif").problems
    assert said.endswith("; it looks like chat: leave --format out, or give that one")
