"""Texts stand once, places have numbers, pairs have a life, runs have names of their own.

Bodies are written anew: problem statements and observations of 1,024 characters and more move to `blobs`, zstandard
takes zlib's place, and of numbers first all lowest bytes are written, then the next, and so on.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
import zstandard
from alembic import op

from trajectories.storage.columns import AnyText, Name

revision = "0002"
down_revision = "0001"

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_LARGE, _TESTS, _PAGE = 1024, 50, 100
_TABLE = {"sqlite_autoincrement": True}


def upgrade() -> None:
    """Everything that was there reads back as before."""
    _create_new_tables()
    _name_runs()
    _widen_trajectories()
    _move_trajectories()
    _replace("bodies")
    _replace("touches")
    op.create_index("touches_of_any_commit", "touches", ["place", "position", "run"])
    _finish_trajectories()
    _give_pairs_a_life(_move_contexts())
    _add_column("mined", sa.Column("reason", sa.Text), "''")


def _create_new_tables() -> None:
    op.create_table(
        "runs",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("configuration", sa.JSON),
    )
    op.create_table(
        "blobs",
        sa.Column("number", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("key", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("text", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "places",
        sa.Column("number", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("stage", sa.String(8), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("repo", sa.Text, nullable=False),
        sa.Column("bare", sa.Text, nullable=False),
        sa.UniqueConstraint("stage", "name", "repo", name="places_once"),
    )
    op.create_index("places_by_bare_name", "places", ["stage", "bare"])
    op.create_table(
        "bodies_new",
        sa.Column("position", _SERIAL, primary_key=True, autoincrement=False),
        sa.Column("blobs", sa.LargeBinary, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("tokens", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "touches_new",
        sa.Column("place", _SERIAL, primary_key=True, autoincrement=False),
        sa.Column("base_commit", sa.Text, primary_key=True),
        sa.Column("position", _SERIAL, primary_key=True, autoincrement=False),
        sa.Column("run", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _name_runs() -> None:
    op.execute(
        "INSERT INTO runs (name, started_at, holder) SELECT run, min(created_at), '' FROM trajectories GROUP BY run"
    )


def _widen_trajectories() -> None:
    op.drop_index("trajectories_by_run", "trajectories")
    with op.batch_alter_table("trajectories", table_kwargs=_TABLE) as table:
        table.drop_column("answer")
        table.add_column(sa.Column("tests", sa.JSON))
        table.add_column(sa.Column("statement", sa.LargeBinary(32)))
        table.add_column(sa.Column("filtered", sa.Text))


def _finish_trajectories() -> None:
    with op.batch_alter_table("trajectories", table_kwargs=_TABLE) as table:
        table.alter_column("tests", existing_type=sa.JSON, nullable=False)
        table.alter_column("statement", existing_type=sa.LargeBinary(32), nullable=False)
        table.alter_column("filtered", existing_type=sa.Text, nullable=False)
        _compare_by_bytes(table)
    op.create_index("trajectories_by_run", "trajectories", ["run", "position"])
    op.create_index("trajectories_by_policy", "trajectories", ["policy_version", "position"])
    op.create_index("trajectories_by_verdict", "trajectories", ["resolved", "position"])
    op.create_index("trajectories_by_status", "trajectories", ["status", "position"])
    op.create_index("trajectories_by_reward", "trajectories", ["reward"])
    op.create_index("trajectories_by_time", "trajectories", ["created_at"])


def _compare_by_bytes(table: Any) -> None:
    if op.get_bind().dialect.name == "postgresql":
        table.alter_column("id", type_=sa.String(64, collation="C"), existing_type=sa.String(64))


def _replace(table: str) -> None:
    """Put the new table of that name in the old one's place."""
    op.drop_table(table)
    op.rename_table(f"{table}_new", table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER INDEX {table}_new_pkey RENAME TO {table}_pkey")


def _add_column(table: str, column: sa.Column[Any], fill: str) -> None:
    with op.batch_alter_table(table) as batch:
        batch.add_column(column)
    op.execute(f"UPDATE {table} SET {column.name} = {fill}")
    with op.batch_alter_table(table) as batch:
        batch.alter_column(column.name, existing_type=column.type, nullable=False)


trajectories = sa.table(
    "trajectories",
    sa.column("position", sa.Integer),
    *(sa.column(name, AnyText) for name in ("repo", "base_commit", "run", "filtered")),
    *(sa.column(name, sa.JSON) for name in ("files", "functions", "tests")),
    sa.column("statement", sa.LargeBinary),
)
places = sa.table(
    "places",
    sa.column("number", sa.Integer),
    sa.column("stage", sa.String),
    sa.column("name", Name),
    sa.column("repo", AnyText),
    sa.column("bare", Name),
)
touches = sa.table(
    "touches_new",
    *(sa.column(name, sa.Integer) for name in ("place", "position")),
    *(sa.column(name, AnyText) for name in ("base_commit", "run")),
)
_OLD = sa.text(
    "SELECT position, document, tokens FROM bodies WHERE position > :after ORDER BY position LIMIT :page"
).columns(position=sa.Integer, document=sa.LargeBinary, tokens=sa.LargeBinary)
_BODY = sa.text("INSERT INTO bodies_new (position, blobs, document, tokens) VALUES (:position, :blobs, :doc, :tokens)")
_BLOB = sa.text("INSERT INTO blobs (key, text) VALUES (:key, :text) ON CONFLICT (key) DO NOTHING")
_TOUCHED = sa.select(*(trajectories.c[n] for n in ("repo", "base_commit", "run", "files", "functions")))


def _move_trajectories() -> None:
    """Bodies, and what is derived from them, a trajectory at a time."""
    connection, told = op.get_bind(), op.get_context().opts["progress"]
    count = connection.scalar(sa.text("SELECT count(*) FROM bodies")) or 0
    numbers: dict[tuple[str, str, str], int] = {}
    for done, (position, packed, tokens) in enumerate(_old_bodies(connection)):
        data = json.loads(zlib.decompress(packed))
        texts, blobs, document = _split(data)
        connection.execute(_BLOB, [{"key": key, "text": zstandard.compress(text)} for key, text in texts.items()])
        body = {"position": position, "blobs": blobs, "doc": zstandard.compress(document), "tokens": _pack(tokens)}
        connection.execute(_BODY, body)
        tests = list((data["verdict"] or {}).get("fail_to_pass", {}))[:_TESTS]
        here = trajectories.c.position == position
        row = {"statement": blobs[:32], "tests": tests, "filtered": ""}
        connection.execute(sa.update(trajectories).where(here).values(row))
        _touch(connection, position, connection.execute(_TOUCHED.where(here)).one(), numbers)
        told(done + 1, count)


def _old_bodies(connection: sa.Connection) -> Iterator[tuple[int, bytes, bytes]]:
    position = -1
    while page := connection.execute(_OLD, {"after": position, "page": _PAGE}).all():
        for position, document, tokens in page:
            yield position, bytes(document), bytes(tokens)


def _split(data: dict[str, Any]) -> tuple[dict[bytes, bytes], bytes, bytes]:
    """The texts that lie apart by key, the keys in their order, and the rest."""
    texts: dict[bytes, bytes] = {}

    def apart(text: str) -> int:
        raw = text.encode()
        key = hashlib.sha256(raw).digest()
        texts.setdefault(key, raw)
        return list(texts).index(key)

    apart(data.pop("problem_statement"))
    observations = [turn.pop("observation") for turn in data["turns"]]
    shown = [text if len(text) < _LARGE else apart(text) for text in observations]
    parts = (json.dumps(part, ensure_ascii=False, separators=(",", ":")) for part in (data, shown))
    return texts, b"".join(texts), "\n".join(parts).encode()


def _pack(tokens: bytes) -> bytes:
    """Sizes, ids and log-probabilities, each with its lowest bytes first."""
    raw = zlib.decompress(tokens)
    n_sizes = n_ids = n_logprobs = 0
    while 4 * (n_sizes + n_ids) + 8 * n_logprobs < len(raw):
        prompt, completion, logprobs = struct.unpack_from("<3I", raw, 4 * n_sizes)
        n_sizes, n_ids, n_logprobs = n_sizes + 3, n_ids + prompt + completion, n_logprobs + logprobs
    ends = (4 * n_sizes, 4 * (n_sizes + n_ids))
    parts = ((raw[: ends[0]], 4), (raw[ends[0] : ends[1]], 4), (raw[ends[1] :], 8))
    return zstandard.compress(b"".join(part[i::size] for part, size in parts for i in range(size)))


def _touch(
    connection: sa.Connection, position: int, row: sa.Row[Any], numbers: dict[tuple[str, str, str], int]
) -> None:
    wanted = [("repo", "", "")]
    wanted += [("file", name, name.rpartition("/")[2]) for name in row.files]
    wanted += [("function", name, name.rpartition("::")[2].rpartition(".")[2]) for name in row.functions]
    for stage, name, bare in dict.fromkeys(wanted):
        place = (stage, name, row.repo)
        if place not in numbers:
            connection.execute(sa.insert(places).values(stage=stage, name=name, repo=row.repo, bare=bare))
            where = (places.c.stage == stage, places.c.name == name, places.c.repo == row.repo)
            numbers[place] = connection.scalar(sa.select(places.c.number).where(*where)) or 0
        value = {"place": numbers[place], "position": position, "base_commit": row.base_commit, "run": row.run}
        connection.execute(sa.insert(touches).values(value))


def _move_contexts() -> dict[str, str]:
    """Compress them anew; which instance each is about."""
    connection, instances = op.get_bind(), dict[str, str]()
    for key in connection.scalars(sa.text("SELECT key FROM contexts")).all():
        packed = connection.scalar(sa.text("SELECT document FROM contexts WHERE key = :key"), {"key": key})
        document = zlib.decompress(bytes(packed or b""))
        instances[key] = json.loads(document).get("instance_id", "")
        change = sa.text("UPDATE contexts SET document = :document WHERE key = :key")
        connection.execute(change, {"key": key, "document": zstandard.compress(document)})
    return instances


def _give_pairs_a_life(instances: dict[str, str]) -> None:
    with op.batch_alter_table("pairs", table_kwargs=_TABLE) as table:
        for name in ("anchor_instance", "confounder_instance", "retired", "replaced"):
            table.add_column(sa.Column(name, sa.Text))
        for name in ("uses", "last_used", "checked"):
            table.add_column(sa.Column(name, sa.Integer))
    op.execute("UPDATE pairs SET uses = 0, retired = '', replaced = ''")
    columns = [sa.column("position", sa.Integer)]
    pairs = sa.table("pairs", *columns, *(sa.column(f"{r}_instance", AnyText) for r in ("anchor", "confounder")))
    connection = op.get_bind()
    for position, a, c in connection.execute(sa.text("SELECT position, anchor_key, confounder_key FROM pairs")).all():
        row = {"anchor_instance": instances[a], "confounder_instance": instances[c]}
        connection.execute(sa.update(pairs).where(pairs.c.position == position).values(row))
    with op.batch_alter_table("pairs", table_kwargs=_TABLE) as table:
        for name in ("anchor_instance", "confounder_instance", "retired", "replaced"):
            table.alter_column(name, existing_type=sa.Text, nullable=False)
        table.alter_column("uses", existing_type=sa.Integer, nullable=False)
        _compare_by_bytes(table)
    op.create_index("pairs_by_anchor_instance", "pairs", ["anchor_instance"])
    op.create_index("pairs_by_confounder_instance", "pairs", ["confounder_instance"])
