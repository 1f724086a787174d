"""What is looked at: words, metrics, tasks, lessons, margins, findings, who tampered; a store has a revision.

Bodies are only read: each once, for its verdict. Words are indexed when somebody asks for them.
"""

import json
import uuid

import sqlalchemy as sa
import zstandard
from alembic import op

revision = "0004"
down_revision = "0003"

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_PAGE = 100
_BODIES = sa.text(
    f"SELECT position, document FROM bodies WHERE position > :after ORDER BY position LIMIT {_PAGE}"
).columns(position=sa.Integer, document=sa.LargeBinary)
_WORDS = {
    "sqlite": [
        "CREATE VIRTUAL TABLE words USING fts5(said, content='', columnsize=0, detail=none, tokenize='ascii')",
    ],
    "postgresql": [
        "CREATE TABLE words (position BIGINT PRIMARY KEY, said TSVECTOR NOT NULL)",
        "CREATE INDEX words_by_word ON words USING gin (said)",
    ],
}


def upgrade() -> None:
    """Everything that was there reads back as before, and can be found by its words."""
    _create_tables()
    op.add_column("trajectories", sa.Column("tampered", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("pairs", sa.Column("settled", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    unpack = zstandard.ZstdDecompressor().decompress
    connection, told = op.get_bind(), op.get_context().opts["progress"]
    meta = sa.text("INSERT INTO store_meta (key, value) VALUES (:key, :value)")
    about = {"identity": uuid.uuid4().hex, "revision": "0", "indexed_to": "0"}
    connection.execute(meta, [{"key": key, "value": value} for key, value in about.items()])
    for statement in _WORDS[connection.dialect.name]:
        op.execute(statement)
    row = sa.table("trajectories", sa.column("position", sa.Integer), sa.column("tampered", sa.Boolean))
    count = connection.scalar(sa.text("SELECT count(*) FROM bodies")) or 0
    done, after = 0, -1
    while page := connection.execute(_BODIES, {"after": after}).all():
        tampered = []
        for position, document in page:
            try:
                verdict = json.loads(unpack(bytes(document)).split(b"\n", 1)[0])["verdict"]
            except (ValueError, LookupError, zstandard.ZstdError):
                continue  # it is damaged, and was before; the others need not wait for it
            if (verdict or {}).get("tampered"):
                tampered.append(position)
        connection.execute(sa.update(row).where(row.c.position.in_(tampered)).values(tampered=True))
        done, after = done + len(page), page[-1].position
        told(done, count)


def _create_tables() -> None:
    op.create_table(
        "metrics",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("iteration", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("values", sa.JSON, nullable=False),
    )
    op.create_table(
        "tasks",
        sa.Column("instance_id", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "lessons",
        sa.Column("position", _SERIAL, primary_key=True, autoincrement=False),
        sa.Column("advantage", sa.Double),
        sa.Column("logprobs", sa.LargeBinary, nullable=False),
    )
    identity = sa.String(64, collation="C" if op.get_bind().dialect.name == "postgresql" else None)
    op.create_table(
        "margins",
        sa.Column("number", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("pair", identity, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("anchor_first", sa.Boolean, nullable=False),
        sa.Column("margin", sa.Double, nullable=False),
    )
    op.create_index("margins_by_pair", "margins", ["pair", "number"])
    op.create_table(
        "findings",
        sa.Column("number", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    op.create_index("findings_by_subject", "findings", ["kind", "subject", "number"])
