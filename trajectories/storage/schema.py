"""The tables of the store, for SQLite and PostgreSQL.

Invariant: `trajectories` and `touches` hold only what is asked by; what is merely kept (turns, tokens) lies
compressed in `bodies` and `blobs`, so that a list never reads it. What was added is never changed: what was learned
about it later has columns of its own. Any change of a table here raises `SCHEMA_VERSION` and is a migration
(`trajectories/storage/migrations`).
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
    UniqueConstraint,
    false,
    text,
    true,
)

from trajectories.storage.columns import AnyText, ContentKey, Id, Name

SCHEMA_VERSION = 4

metadata = MetaData()
_Serial = BigInteger().with_variant(Integer, "sqlite")

store_meta = Table(
    "store_meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("name", AnyText, primary_key=True),
    Column("started_at", Double, nullable=False),
    Column("holder", AnyText, nullable=False),
    Column("configuration", JSON),
)
"""Names that runs have taken, each once. `holder`: the process that trains it (`holders`), or empty."""

trajectories = Table(
    "trajectories",
    metadata,
    Column("position", _Serial, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
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
    Column("tests", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("statement", ContentKey, nullable=False),
    Column("filtered", AnyText, nullable=False),
    Column("graded", Boolean, nullable=False, server_default=true()),
    Column("tampered", Boolean, nullable=False, server_default=false()),
    Index("trajectories_by_run", "run", "position"),
    Index("trajectories_by_policy", "policy_version", "position"),
    Index("trajectories_by_group", "group"),
    Index("trajectories_by_instance", "instance_id", "resolved", "run"),
    Index("trajectories_by_repo", "repo", "base_commit"),
    Index("trajectories_by_verdict", "resolved", "position"),
    Index("trajectories_by_status", "status", "position"),
    Index("trajectories_by_reward", "reward"),
    Index("trajectories_by_time", "created_at"),
    sqlite_autoincrement=True,
)
"""`graded`: whether there is a verdict or a reward; who has none is not `resolved` either."""

bodies = Table(
    "bodies",
    metadata,
    Column("position", _Serial, primary_key=True, autoincrement=False),
    Column("blobs", LargeBinary, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
)
"""The rest of a trajectory: see `codec`. `blobs`: keys of the large texts that it shares, one after the other,
in front of the large columns so that they are read without them."""

blobs = Table(
    "blobs",
    metadata,
    Column("number", _Serial, primary_key=True, autoincrement=True),
    Column("key", ContentKey, nullable=False, unique=True),
    Column("text", LargeBinary, nullable=False),
)
"""Problem statements and large observations, compressed, each once however many trajectories hold it."""

places = Table(
    "places",
    metadata,
    Column("number", _Serial, primary_key=True, autoincrement=True),
    Column("stage", String(8), nullable=False),
    Column("name", Name, nullable=False),
    Column("repo", AnyText, nullable=False),
    Column("bare", Name, nullable=False),
    UniqueConstraint("stage", "name", "repo", name="places_once"),
    Index("places_by_bare_name", "stage", "bare"),
)
"""Repositories, files and functions. `bare`: a function's last name, a file's name without its folder. Never removed,
so that who knows a number may keep it."""

touches = Table(
    "touches",
    metadata,
    Column("place", _Serial, primary_key=True, autoincrement=False),
    Column("base_commit", AnyText, primary_key=True),
    Column("position", _Serial, primary_key=True, autoincrement=False),
    Column("run", AnyText, nullable=False),
    Index("touches_of_any_commit", "place", "position", "run"),
    sqlite_with_rowid=False,
)
"""What a trajectory touches: a row for each place. The orders of key and index make a bucket, at one commit and at any,
a contiguous range in the order of insertion: looking into a bucket costs the same however full the store is."""

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
    Column("id", Id, nullable=False, unique=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("run", AnyText, nullable=False),
    Column("repo", AnyText, nullable=False),
    Column("base_commit", AnyText, nullable=False),
    Column("file", AnyText, nullable=False),
    Column("function", AnyText, nullable=False),
    Column("stage", String(8), nullable=False),
    Column("answer", AnyText, nullable=False),
    Column("replaced", AnyText, nullable=False),
    Column("confounder_answer", AnyText, nullable=False),
    Column("anchor_id", String(64), nullable=False),
    Column("confounder_id", String(64), nullable=False),
    Column("anchor_instance", AnyText, nullable=False),
    Column("confounder_instance", AnyText, nullable=False),
    Column("anchor_key", String(64), nullable=False),
    Column("confounder_key", String(64), nullable=False),
    Column("similarity", Double, nullable=False),
    Column("judgement", String(16), nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("last_used", Integer),
    Column("checked", Integer),
    Column("settled", BigInteger, nullable=False, server_default=text("0")),
    Column("retired", AnyText, nullable=False),
    Index("pairs_by_run", "run", "judgement"),
    Index("pairs_by_function", "function", postgresql_using="hash"),
    Index("pairs_by_anchor", "anchor_id"),
    Index("pairs_by_confounder", "confounder_id"),
    Index("pairs_by_anchor_instance", "anchor_instance"),
    Index("pairs_by_confounder_instance", "confounder_instance"),
    sqlite_autoincrement=True,
)
"""Context pairs, and their life: how often and when each was learned from, checked, and why it is not any more."""

mined = Table(
    "mined",
    metadata,
    Column("position", _Serial, primary_key=True, autoincrement=False),
    Column("reason", AnyText, nullable=False),
)
"""The trajectories that were mined, and why one gave no pair: what a run that was killed has left to do is the rest."""

metrics = Table(
    "metrics",
    metadata,
    Column("run", AnyText, primary_key=True),
    Column("iteration", Integer, primary_key=True, autoincrement=False),
    Column("values", JSON, nullable=False),
)
"""What each iteration of a run measured."""

tasks = Table(
    "tasks",
    metadata,
    Column("instance_id", AnyText, primary_key=True),
    Column("run", AnyText, primary_key=True),
    Column("document", LargeBinary, nullable=False),
)
"""The task instances that runs were played on, compressed: what a trajectory is compared with and replayed on."""

lessons = Table(
    "lessons",
    metadata,
    Column("position", _Serial, primary_key=True, autoincrement=False),
    Column("advantage", Double),
    Column("logprobs", LargeBinary, nullable=False),
)
"""What the learner made of a trajectory when it first learned from it."""

margins = Table(
    "margins",
    metadata,
    Column("number", _Serial, primary_key=True, autoincrement=True),
    Column("pair", Id, nullable=False),
    Column("version", Integer, nullable=False),
    Column("anchor_first", Boolean, nullable=False),
    Column("margin", Double, nullable=False),
    Index("margins_by_pair", "pair", "number"),
)
"""How policies chose on a pair."""

findings = Table(
    "findings",
    metadata,
    Column("number", _Serial, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("subject", AnyText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("findings_by_subject", "kind", "subject", "number"),
)
"""What was found out later: replays, audits."""

funnel = Table(
    "funnel",
    metadata,
    Column("run", AnyText, primary_key=True),
    Column("stage", String(32), primary_key=True),
    Column("count", BigInteger, nullable=False),
)
