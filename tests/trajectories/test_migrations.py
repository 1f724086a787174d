"""A store that the first release wrote is upgraded when it is opened, whole or not at all.

`data/version_1.db` was written by that release, `data/version_1.json` says what it put in.
"""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from trajectory_builders import trajectory

from trajectories.protocol import PairLife, StoreError
from trajectories.records import ContextPair, Trajectory
from trajectories.storage.engines import make_engine
from trajectories.storage.migrations import upgrade
from trajectories.storage.schema import metadata
from trajectories.store import SQLStore

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
WRITTEN = json.loads((DATA / "version_1.json").read_text())
TRAJECTORIES = [Trajectory.model_validate(t) for t in WRITTEN["trajectories"]]
PAIRS = [ContextPair.model_validate(p) for p in WRITTEN["pairs"]]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.docker)])
def old(request, tmp_path):
    """Where a store of version 1 is."""
    if request.param == "sqlite":
        return shutil.copy(DATA / "version_1.db", tmp_path / "old.db")
    database = request.getfixturevalue("database")
    with engine(database).begin() as connection, sqlite3.connect(DATA / "version_1.db") as file:
        upgrade(connection, 0, 1)
        copy_rows(file, connection)
    return database


def engine(where: str | Path) -> sa.Engine:
    url = str(where)
    if "://" not in url:
        url = f"sqlite:///{where}"
    return make_engine(sa.make_url(url.replace("postgresql:", "postgresql+psycopg:")), 30)


def copy_rows(file: sqlite3.Connection, connection: sa.Connection) -> None:
    """As the first release wrote them to PostgreSQL: it wrote NUL, which that cannot hold, as two others."""
    tables = sa.MetaData()
    tables.reflect(connection)
    for table in tables.sorted_tables:
        cursor = file.execute(f"SELECT * FROM {table.name}")
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
        for row in rows:
            for name, value in row.items():
                kind = table.c[name].type
                if isinstance(kind, sa.JSON):
                    row[name] = json.loads(value)
                elif isinstance(kind, sa.Boolean):
                    row[name] = bool(value)
                elif isinstance(value, str):
                    row[name] = value.replace("\x10", "\x10E").replace("\0", "\x10N")
        if rows:
            connection.execute(table.insert(), rows)
    for name in ("trajectories", "pairs"):
        connection.execute(
            sa.text(f"SELECT setval(pg_get_serial_sequence('{name}', 'position'), max(position)) FROM {name}")
        )


def test_an_older_store_reads_back_exactly_and_goes_on(old):
    told = []
    with SQLStore(old, create=False, progress=lambda *far: told.append(far)) as store:
        assert (len(TRAJECTORIES), len(TRAJECTORIES)) in told
        assert store.query() == TRAJECTORIES
        assert store.pairs() == PAIRS
        assert {run: store.funnel(run) for run in WRITTEN["funnels"]} == WRITTEN["funnels"]
        assert {run: store.unmined(run) for run in WRITTEN["unmined"]} == WRITTEN["unmined"]
        for t in TRAJECTORIES:
            (s,) = store.summaries(after=store.position(t.id) - 1, limit=1)
            assert (s.id, s.run, s.instance_id, s.files, s.functions) == (
                t.id,
                t.run,
                t.instance_id,
                t.files,
                t.functions,
            )
            assert (s.resolved, s.graded) == (t.resolved, t.verdict is not None)
            assert s.tests == (list(t.verdict.fail_to_pass)[:50] if t.verdict else [])
            assert store.statements([s.statement]) == {s.statement: t.problem_statement}
            for function in t.functions:
                assert t.id in {f.id for f in store.summaries(function=function, repo=t.repo)}
        for t in TRAJECTORIES:  # what was there before is found by its words, and by who tampered
            assert t.id in {f.id for f in store.summaries(text=t.problem_statement)}
            assert (t.id in {f.id for f in store.summaries(tampered=True)}) == bool(t.verdict and t.verdict.tampered)
        store.add_many(TRAJECTORIES)  # the same again changes nothing
        assert store.count() == len(TRAJECTORIES)
        assert store.pair_life([PAIRS[0].id]) == {PAIRS[0].id: PairLife(0, None, None, "", PAIRS[0].created_at)}
        assert store.live_pairs_of([PAIRS[0].confounder.instance_id])
        store.add(trajectory("new"))
        store.add_pairs([PAIRS[0].model_copy(update={"id": "new", "answer": "another"})])
        assert store.position("new-0") > store.position(TRAJECTORIES[-1].id)
    with SQLStore(old, create=False) as store:
        assert store.query() == [*TRAJECTORIES, trajectory("new")]


def test_what_was_upgraded_has_the_same_schema_as_what_is_new(old):
    SQLStore(old).close()
    assert differences(old) == []


@pytest.mark.docker
def test_what_is_new_has_the_schema_of_the_program(tmp_path, database):
    for where in (tmp_path / "new.db", database):
        SQLStore(where).close()
        assert differences(where) == []


def not_of_the_index(_thing, name, kind, *_more):
    """The index of words is made of other statements: `test_words.py` asks it."""
    return not (kind in ("table", "index") and name.startswith("words"))


def differences(where):
    with engine(where).connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": not_of_the_index}
        context = MigrationContext.configure(connection, opts=options)
        found = compare_metadata(context, metadata)
        inspector = sa.inspect(connection)
        keys = {t: inspector.get_pk_constraint(t)["constrained_columns"] for t in inspector.get_table_names()}
    wanted = {t.name: [c.name for c in t.primary_key] for t in metadata.sorted_tables}
    return [*found, *(name for name in wanted if wanted[name] != keys[name])]


def test_sqlite_gives_no_position_twice(tmp_path):
    shutil.copy(DATA / "version_1.db", tmp_path / "old.db")
    for where in (tmp_path / "old.db", tmp_path / "new.db"):
        SQLStore(where).close()
        with sqlite3.connect(where) as raw:
            created = dict(raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
        assert all("AUTOINCREMENT" in created[name] for name in ("trajectories", "pairs"))
        assert "WITHOUT ROWID" in created["touches"]


def test_the_first_script_makes_what_the_first_release_made(tmp_path):
    with engine(tmp_path / "made.db").begin() as connection:
        upgrade(connection, 0, 1)
    made, real = (schema_of(path) for path in (tmp_path / "made.db", DATA / "version_1.db"))
    assert made == real


def schema_of(path):
    with sqlite3.connect(path) as raw:
        found = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: re.sub(r"\s+", " ", sql).strip() for name, sql in found}


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(old):
    with engine(old).begin() as connection:
        last = connection.scalar(sa.text("SELECT max(position) FROM bodies"))
        whole = connection.scalar(sa.text(f"SELECT document FROM bodies WHERE position = {last}"))
        connection.execute(sa.text(f"UPDATE bodies SET document = :d WHERE position = {last}"), {"d": b"broken"})
        before = contents(connection)
    with pytest.raises(StoreError, match=r"schema version 1 and could not be upgraded to 4 .*: it is as it was"):
        SQLStore(old)
    with engine(old).begin() as connection:
        assert contents(connection) == before
        connection.execute(sa.text(f"UPDATE bodies SET document = :d WHERE position = {last}"), {"d": bytes(whole)})
    with SQLStore(old) as store:
        assert store.query() == TRAJECTORIES


def contents(connection):
    """All rows of all tables."""
    tables = sa.MetaData()
    tables.reflect(connection)
    return {t.name: sorted(map(repr, connection.execute(t.select()))) for t in tables.sorted_tables}


OPENER = """
import sys
from trajectories.store import SQLStore
with SQLStore(sys.argv[1]) as store:
    print(store.count(), "alembic" in sys.modules)
"""


def opener(where):
    command = [sys.executable, "-c", OPENER, str(where)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_of_processes_that_open_it_at_once_one_upgrades(old):
    for process in [opener(old) for _ in range(4)]:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out.split()[:1]) == (0, [str(len(TRAJECTORIES))]), err
    assert differences(old) == []


def test_a_current_store_is_opened_without_alembic(tmp_path):
    for _ in range(2):
        out, err = opener(tmp_path / "new.db").communicate(timeout=60)
        assert out.split() == ["0", "False"], err


@pytest.mark.parametrize("version", ["5", "0", "first"])
def test_a_version_that_is_not_known_is_refused(version, old):
    with engine(old).begin() as connection:
        connection.execute(sa.text("UPDATE store_meta SET value = :v"), {"v": version})
        before = contents(connection)
    with pytest.raises(StoreError, match=f"schema version {version}, this program reads version 4: open it with"):
        SQLStore(old)
    with engine(old).begin() as connection:
        assert contents(connection) == before
