"""Trajectories are found by the words that they hold, in the same way on both databases."""

import os
import re
import sqlite3
import uuid
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trajectory_builders import trajectory, turn

from trajectories.protocol import StoreError
from trajectories.storage.upkeep import Upkeep
from trajectories.storage.words import said_in
from trajectories.store import SQLStore

SAID = {
    "python": "AttributeError: 'NoneType' object has no attribute 'first_name'",
    "german": "Die Größe ist naïve — straße",
    "han": "文件 不存在",
    "hex": "f" * 80,
    "odd": "nul\0byte \x1f quote' \" AND OR NOT NEAR(a b) col:x ^y -z *",
}


def found(store, text, **filters):
    return {s.instance_id for s in store.summaries(text=text, **filters)}


@pytest.fixture
def full(store):
    store.add_many(
        trajectory(name, turns=[turn("view", said, path=f"src/{name}.py"), turn("submit")], run=name[0])
        for name, said in SAID.items()
    )
    return store


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("nonetype", {"python"}),
        ("NoneType attribute", {"python"}),
        ("attribute 'NoneType'", {"python"}),
        ("first_name", {"python"}),
        ("first_na", {"python"}),
        ("first_na ", set()),
        ("nonetyp attribute", set()),
        ("src/german.py", {"german"}),
        ("grosse", set()),
        ("GRÖßE", {"german"}),
        ("größe", {"german"}),
        ("naïve", {"german"}),
        ("naive", set()),
        ("straße", {"german"}),
        ("文件", {"han"}),
        ("f" * 80, {"hex"}),
        ("f" * 64, {"hex"}),
        ("f" * 63 + "e", set()),
        ("byte", {"odd"}),
        ("quote' \"", {"odd"}),
        ("NEAR(a b)", {"odd"}),
        ("a) OR (b", {"odd"}),
        ("case odd", {"odd"}),
        ("' OR 1=1 --", {"odd"}),
        ("view nonetype view no", {"python"}),
        ("view nonetype vie", {"python"}),
        ("area wrong", set(SAID)),
    ],
)
def test_what_is_found(full, text, names):
    assert found(full, text) == names
    assert full.count(text=text) == len(names)


def test_words_and_other_filters_together(full):
    assert found(full, "area", run="p") == {"python"}
    assert [s.instance_id for s in full.page(text="area", sort="instance_id", limit=2, offset=1)] == ["odd", "hex"]


def test_a_search_without_a_word_is_a_mistake(full):
    for text in ("", " ", "-- !", "\0"):
        with pytest.raises(StoreError, match="no word in"):
            full.count(text=text)


def test_what_is_taken_out_is_not_found_and_leaves_no_word(full):
    assert Upkeep(full).delete(run="p").trajectories == 1
    assert found(full, "nonetype") == set()
    assert found(full, "area") == set(SAID) - {"python"}
    full.add(trajectory("new", turns=[turn("view", "something else"), turn("submit")]))
    assert found(full, "nonetype") == set()


def test_sqlite_keeps_no_word_of_what_was_taken_out(tmp_path):
    with SQLStore(tmp_path / "s.db") as store:
        store.add(trajectory("i1", turns=[turn("view", "zymurgy"), turn("submit")]))
        assert found(store, "zymurgy") == {"i1"}
        store.add(trajectory("i2", turns=[turn("view", "quixotry"), turn("submit")]))  # which nobody asks for
        Upkeep(store).delete(run="r")
        store.add(trajectory("i3"))
        assert found(store, "zymurgy") == found(store, "quixotry") == set()
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab('main', 'words', 'row')")
        terms = {term for (term,) in raw.execute("SELECT term FROM terms")}
        assert "area" in terms and not terms & {"zymurgy", "quixotry"}


def test_what_was_added_since_is_indexed_when_somebody_asks(store):
    told = []
    store.add_many(trajectory(f"i{i}") for i in range(450))
    assert store.index_words(0.0) == 250 and store.count(text="area") == 450
    assert store.index_words(progress=lambda *far: told.append(far)) == 0 and told == []
    store.add_many(trajectory(f"j{i}") for i in range(3))
    assert store.index_words(progress=lambda *far: told.append(far)) == 0 and told == [(0, 3), (3, 3)]
    store.add(trajectory("last"))
    assert Upkeep(store).delete(text="last").trajectories == 1


def test_several_processes_index_each_once(store):
    store.add_many(trajectory(f"i{i}") for i in range(700))
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: store.index_words(), range(4))) == {0}
    assert store.count(text="area") == 700


def test_what_may_only_be_read_says_what_it_cannot_search(tmp_path):
    with SQLStore(tmp_path / "s.db") as store:
        store.add(trajectory("i1"))
        assert store.count(text="area") == 1
        store.add(trajectory("i2"))
    (tmp_path / "s.db").chmod(0o400)
    with SQLStore(tmp_path / "s.db", create=False) as store:
        if os.access(tmp_path / "s.db", os.W_OK):  # nothing is closed to root
            store.database.write = Mock(side_effect=StoreError("It may only be read."))  # type: ignore[method-assign]
        assert store.count() == 2
        with pytest.raises(StoreError, match=r"^1 trajectories of .* before they are indexed: "):
            store.count(text="area")


def test_a_damaged_trajectory_can_be_taken_out(tmp_path):
    with SQLStore(tmp_path / "s.db") as store:
        store.add(trajectory("i1"))
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute("UPDATE bodies SET document = X'00'")
    with SQLStore(tmp_path / "s.db") as store:
        assert Upkeep(store).delete(run="r").trajectories == 1
        assert store.summaries(text="area") == []


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_each_word_once_as_the_alphabet_says(text):
    said = trajectory("i", turns=[turn("view", text)])
    words = said_in(said).split(" ")
    assert len(words) == len(set(words))
    assert {w[:64] for w in re.findall(r"[^\W_]+", text.lower())} <= set(words)


LATIN = st.text(st.characters(codec="latin-1"), min_size=1, max_size=40)


@pytest.mark.docker
@given(LATIN, LATIN, st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_databases_find_the_same(both, text, other, data):
    word = data.draw(st.sampled_from(re.findall(r"[^\W_]+", f"{text} {other}") or ["nothing"]))
    asked = data.draw(st.sampled_from([word, word + " ", word[:2], f"{word} area", word.upper()]))
    said = trajectory(uuid.uuid4().hex, turns=[turn("view", text)])
    for store in both:
        store.add(said)
    one, another = (store.count(text=asked) for store in both)
    assert one == another


@pytest.fixture
def both(tmp_path, database):
    with SQLStore(tmp_path / "s.db") as one, SQLStore(database) as another:
        yield one, another


def test_far_too_many_words_are_cut(store):
    many = " ".join(f"w{i:x}" for i in range(300_000))
    store.add(trajectory("i1", turns=[turn("view", many), turn("submit")]))
    assert found(store, "w5") == {"i1"}
    assert store.get("i1-0").turns[0].observation == many
