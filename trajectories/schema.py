"""The tables of the store, for every database that SQLAlchemy speaks to.

Invariant: `trajectories` and `touches` hold only what is asked by; what is merely kept (turns, tokens) lies
compressed in `bodies`, so that a list never reads it. Rows are only ever added. Any change of a table here raises
`SCHEMA_VERSION`.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from trajectories.columns import AnyText, Name

SCHEMA_VERSION = 1

metadata = MetaData()
_Serial = BigInteger().with_variant(Integer, "sqlite")

store_meta = Table(
    "store_meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

trajectories = Table(
    "trajectories",
    metadata,
    Column("position", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("run", AnyText, nullable=False),
    Column("group", AnyText, nullable=False),
    Column("iteration", Integer, nullable=False),
    Column("instance_id", AnyText, nullable=False),
    Column("repo", AnyText, nullable=False),
    Column("base_commit", AnyText, nullable=False),
    Column("status", String(16), nullable=False),
    Column("resolved", Boolean, nullable=False),
    Column("reward", Double),
    Column("policy_version", Integer, nullable=False),
    Column("agent", AnyText, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("files", JSON, nullable=False),
    Column("functions", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("answer", AnyText, nullable=False),
    Index("trajectories_by_run", "run", "policy_version"),
    Index("trajectories_by_group", "group"),
    Index("trajectories_by_instance", "instance_id", "resolved", "run"),
    Index("trajectories_by_repo", "repo", "base_commit"),
)

bodies = Table(
    "bodies",
    metadata,
    Column("position", _Serial, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
)
"""The rest of a trajectory: see `trajectories.codec`."""

touches = Table(
    "touches",
    metadata,
    Column("stage", String(8), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("repo", AnyText, primary_key=True),
    Column("base_commit", AnyText, primary_key=True),
    Column("position", _Serial, primary_key=True, autoincrement=False),
    Column("run", AnyText, nullable=False),
    sqlite_with_rowid=False,
)
"""Which repository, files and functions a trajectory touches: a row for each. The key's order makes a bucket one
contiguous range in the order of insertion, so that looking into a bucket costs the same however full the store is."""

contexts = Table(
    "contexts",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("document", LargeBinary, nullable=False),
)
"""Masked contexts, each once however many pairs it stands in."""

pairs = Table(
    "pairs",
    metadata,
    Column("position", _Serial, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("run", AnyText, nullable=False),
    Column("repo", AnyText, nullable=False),
    Column("base_commit", AnyText, nullable=False),
    Column("file", AnyText, nullable=False),
    Column("function", AnyText, nullable=False),
    Column("stage", String(8), nullable=False),
    Column("answer", AnyText, nullable=False),
    Column("confounder_answer", AnyText, nullable=False),
    Column("anchor_id", String(64), nullable=False),
    Column("confounder_id", String(64), nullable=False),
    Column("anchor_key", String(64), nullable=False),
    Column("confounder_key", String(64), nullable=False),
    Column("similarity", Double, nullable=False),
    Column("judgement", String(16), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Index("pairs_by_run", "run", "judgement"),
    Index("pairs_by_function", "function", postgresql_using="hash"),
    Index("pairs_by_anchor", "anchor_id"),
    Index("pairs_by_confounder", "confounder_id"),
)

mined = Table(
    "mined",
    metadata,
    Column("position", _Serial, primary_key=True, autoincrement=False),
)
"""The trajectories that were mined: what a run that was killed has left to do is the rest."""

funnel = Table(
    "funnel",
    metadata,
    Column("run", AnyText, primary_key=True),
    Column("stage", String(32), primary_key=True),
    Column("count", BigInteger, nullable=False),
)
