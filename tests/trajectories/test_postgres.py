"""What is different about a store on PostgreSQL; what is the same, `test_store.py` asks of both."""

import signal
import sys
import threading
import time

import psycopg
import pytest
from hypothesis import given, settings
from test_bulk import fill, mine_store, options
from test_store import trajectories, writer
from trajectory_builders import trajectory

from trajectories.judge import RuleJudge
from trajectories.mining.miner import PairMiner
from trajectories.protocol import RightAnswer, StoreError
from trajectories.store import SQLStore

needs_a_server = pytest.mark.docker


@needs_a_server
def test_what_goes_in_comes_out(database):
    with SQLStore(database) as store:

        @settings(max_examples=30, deadline=None)
        @given(trajectories)
        def kept(t):
            store.add(t)
            assert store.get(t.id) == t
            assert t.id in {s.id for s in store.summaries(instance_id=t.instance_id, run=t.run)}

        kept()


@needs_a_server
def test_text_of_any_kind_is_kept_and_found(database):
    """A NUL, which PostgreSQL's text cannot hold, and names that are too long for its indexes."""
    file = "\0" + "".join(chr(0x4E00 + i * 7919 % 20000) for i in range(4000))
    t = trajectory(instance_id="a\0b", run="\0", file=file, answer="\x10N\0\x10E\0N\x10")
    with SQLStore(database) as store:
        store.add(t)
        assert store.query(run="\0", file=file, function=f"{file}::area") == [t]
        assert store.summaries()[0].files == [file]
        assert store.right_answers(["a\0b"]) == {"a\0b": RightAnswer(t.answer, t.patch)}
        other = trajectory("i2", shown=("-", 7), right=("+", 7), run="\0", file=file)
        assert store.query(file=file + "x") == []
        miner = PairMiner(store, RuleJudge())
        store.subscribe(miner.on_insert)
        store.add(other)
        assert {p.function for p in store.pairs(function=f"{file}::area")} == {f"{file}::area"}


@needs_a_server
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_all_names_of_the_scheme_are_the_same(scheme, database):
    with SQLStore(database.replace("postgresql", scheme, 1)) as store:
        store.add(trajectory())
        assert store.where.startswith("postgresql+psycopg://postgres:***@127.0.0.1:")
    with SQLStore(database, create=False) as store:
        assert store.query() == [trajectory()]


@needs_a_server
def test_processes_share_a_store_from_its_first_moment(database):
    writers = [writer(database, f"w{i}", 20) for i in range(4)]
    for process in writers:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    with SQLStore(database, create=False) as store:
        assert store.count() == 80


@needs_a_server
def test_kill_9_loses_at_most_what_was_being_written_and_mining_goes_on(database):
    process = writer(database, "w", 100_000)
    told = [process.stdout.readline().strip() for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    told += process.stdout.read().split()
    process.wait()
    whole = {line for line in told if line.endswith("-0")}
    with SQLStore(database) as store:
        kept = store.query()
        assert whole <= {t.id for t in kept} and len(kept) <= len(whole) + 1
        assert all(t == trajectory(t.instance_id) for t in kept)
        store.add(trajectory("after", shown=("-", 7), right=("+", 7)))
        assert store.unmined("r") == [*(t.id for t in kept), "after-0"]
        assert PairMiner(store, RuleJudge()).catch_up("r")
        assert store.unmined("r") == [] and store.count_pairs(judgement="valid") > 0


@needs_a_server
def test_positions_become_visible_in_their_order(database):
    """A writer that is slow to commit holds up the next one: a miner never passes over what comes late."""
    with SQLStore(database) as store, psycopg.connect(database) as slow:
        slow.execute("SELECT pg_advisory_xact_lock(%s)", [0x436F6E7465787452])
        late = threading.Thread(target=store.add, args=(trajectory("late"),))
        late.start()
        time.sleep(0.3)
        assert late.is_alive() and store.count() == 0, "readers are not held up"
        slow.rollback()
        late.join(10)
        assert store.count() == 1


@needs_a_server
def test_a_lock_that_is_held_too_long_is_one_sentence(database):
    with SQLStore(database, timeout_s=0.1) as store, psycopg.connect(database) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [0x436F6E7465787452])
        with pytest.raises(StoreError, match=r"is locked by another process for more than 0.1 s"):
            store.add(trajectory())
        other.rollback()
        store.add(trajectory())
        assert store.count() == 1


@needs_a_server
def test_connections_that_the_server_ended_are_replaced(database):
    with SQLStore(database) as store:
        store.add(trajectory())
        with psycopg.connect(database, autocommit=True) as other:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            other.execute(f"{ended} AND datname = current_database()")
        assert store.count() == 1


@needs_a_server
def test_places_that_are_no_store(database):
    with pytest.raises(StoreError, match=r"no trajectory store at postgresql.*: a training run makes one"):
        SQLStore(database, create=False)
    with psycopg.connect(database) as raw:
        assert raw.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        raw.execute("CREATE TABLE mine (x int)")
    with pytest.raises(StoreError, match="not a trajectory store"):
        SQLStore(database)


@needs_a_server
def test_another_schema_version_is_refused(database):
    SQLStore(database).close()
    with psycopg.connect(database) as raw:
        raw.execute("UPDATE store_meta SET value = '999'")
    with pytest.raises(StoreError, match="schema version 999, this program reads version 4"):
        SQLStore(database)


@needs_a_server
def test_what_is_wrong_with_a_url_is_one_sentence(database):
    with psycopg.connect(database, autocommit=True) as raw:
        raw.execute("CREATE ROLE reader LOGIN PASSWORD 'x'")
        try:
            for url, message in [
                (database.replace("se%3Acr%2Fet", "wrong"), "does not accept this user and password"),
                (database.replace(":se%3Acr%2Fet", ""), "wants a password"),
                (f"{database}x", "is not there: check the database's name"),
                (database.replace("postgres:se%3Acr%2Fet", "reader:x"), "does not let this user make or change tables"),
            ]:
                refused(url, message)
        finally:
            raw.execute("DROP ROLE reader")


def test_no_server_is_one_sentence():
    refused("postgresql://u:hidden@127.0.0.1:1/x", "cannot be reached: start the server")
    refused("postgresql://u:hidden@nowhere.invalid/x", "its host is not known")


def test_a_missing_driver_names_the_extra(monkeypatch):
    class NotInstalled:
        def find_spec(self, name, *_):
            if name == "psycopg":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, "psycopg")
    monkeypatch.setattr(sys, "meta_path", [NotInstalled(), *sys.meta_path])
    refused("postgresql://u:hidden@127.0.0.1:1/x", r"pip install 'contextrl\[postgres\]'")


def refused(url, message):
    with pytest.raises(StoreError, match=message) as told:
        SQLStore(url)
    said = str(told.value)
    assert "\n" not in said and "hidden" not in said and "se%3Acr%2Fet" not in said and said.endswith(".")


@needs_a_server
def test_processes_that_mine_open_the_database_by_themselves(database):
    """With its password, which messages do not show."""
    with SQLStore(database) as store:
        fill(store)
        assert mine_store(store, options(2))["valid"] == 24
