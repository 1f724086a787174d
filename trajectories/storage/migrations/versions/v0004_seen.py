"""What is looked at: words, metrics, tasks, lessons, margins, findings, who tampered; a store has a revision.

Bodies are only read: each once, for its words and its verdict.
"""

import json
import re
import uuid
from typing import Any

import sqlalchemy as sa
import zstandard
from alembic import op

revision = "0004"
down_revision = "0003"

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_PAGE, _KEY, _LONGEST, _MOST = 100, 32, 64, 800_000
_WORD = re.compile(r"[^\W_]+")
_BODIES = sa.text(
    f"SELECT position, blobs, document FROM bodies WHERE position > :after ORDER BY position LIMIT {_PAGE}"
).columns(position=sa.Integer, blobs=sa.LargeBinary, document=sa.LargeBinary)
_WORDS = {
    "sqlite": [
        "CREATE VIRTUAL TABLE words USING fts5("
        "said, content='', columnsize=0, detail=none, tokenize='unicode61 remove_diacritics 0')",
    ],
    "postgresql": [
        "CREATE TABLE words (position BIGINT PRIMARY KEY, said TSVECTOR NOT NULL)",
        "CREATE INDEX words_by_word ON words USING gin (said)",
    ],
}
_INSERT = {
    "sqlite": "INSERT INTO words (rowid, said) VALUES (:position, :said)",
    "postgresql": (
        "INSERT INTO words (position, said) VALUES (:position, array_to_tsvector(string_to_array(:said, ' ')))"
    ),
}


def upgrade() -> None:
    """Everything that was there reads back as before, and is found by its words."""
    _create_tables()
    op.add_column("trajectories", sa.Column("tampered", sa.Boolean, nullable=False, server_default=sa.false()))
    connection, told = op.get_bind(), op.get_context().opts["progress"]
    meta = sa.text("INSERT INTO store_meta (key, value) VALUES (:key, :value)")
    connection.execute(meta, [{"key": "identity", "value": uuid.uuid4().hex}, {"key": "revision", "value": "0"}])
    for statement in _WORDS[connection.dialect.name]:
        op.execute(statement)
    row = sa.table("trajectories", sa.column("position", sa.Integer), sa.column("tampered", sa.Boolean))
    insert = sa.text(_INSERT[connection.dialect.name])
    count = connection.scalar(sa.text("SELECT count(*) FROM bodies")) or 0
    done, after = 0, -1
    while page := connection.execute(_BODIES, {"after": after}).all():
        tampered = []
        for position, keys, document in page:
            try:
                data, *texts = _read(connection, bytes(keys), bytes(document))
            except (ValueError, LookupError, zstandard.ZstdError):
                continue  # it is damaged, and was before; the others need not wait for it
            said = _said(data, texts)
            text = "\n".join(said) if connection.dialect.name == "sqlite" else _words(said)
            if text:
                connection.execute(insert, {"position": position, "said": text})
            if (data["verdict"] or {}).get("tampered"):
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


def _read(connection: sa.Connection, keys: bytes, document: bytes) -> list[Any]:
    """The record, its problem statement, its observations."""
    unpack = zstandard.ZstdDecompressor().decompress
    data, observations = map(json.loads, unpack(document).split(b"\n", 1))
    apart = [keys[i : i + _KEY] for i in range(0, len(keys), _KEY)]
    query = sa.text("SELECT text FROM blobs WHERE key = :key").columns(text=sa.LargeBinary)
    texts = [unpack(bytes(connection.scalar(query, {"key": key}) or b"")).decode() for key in apart]
    return [data, texts[0], *(texts[shown] if isinstance(shown, int) else shown for shown in observations)]


def _said(data: dict[str, Any], texts: list[str]) -> list[str]:
    statement, *observations = texts
    said = [statement]
    for turn, observation in zip(data["turns"], observations, strict=True):
        said += [turn["text"], observation, *turn["tool_call"]["arguments"].values()]
    return [*said, data["patch"]]


def _words(said: list[str]) -> str:
    found: dict[str, None] = {}
    size = 0
    for text in said:
        for word in dict.fromkeys(word[:_LONGEST] for word in _WORD.findall(text.lower())):
            if word not in found:
                size += len(word.encode()) + 1
                if size > _MOST:
                    return " ".join(found)
                found[word] = None
    return " ".join(found)
