"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make them in an empty database."""
    op.create_table(
        "store_meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "trajectories",
        sa.Column("position", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("group", sa.Text, nullable=False),
        sa.Column("iteration", sa.Integer, nullable=False),
        sa.Column("instance_id", sa.Text, nullable=False),
        sa.Column("repo", sa.Text, nullable=False),
        sa.Column("base_commit", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("resolved", sa.Boolean, nullable=False),
        sa.Column("reward", sa.Double),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("turns", sa.Integer, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("functions", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
    )
    op.create_index("trajectories_by_run", "trajectories", ["run", "policy_version"])
    op.create_index("trajectories_by_group", "trajectories", ["group"])
    op.create_index("trajectories_by_instance", "trajectories", ["instance_id", "resolved", "run"])
    op.create_index("trajectories_by_repo", "trajectories", ["repo", "base_commit"])
    op.create_table(
        "bodies",
        sa.Column("position", _SERIAL, primary_key=True, autoincrement=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("tokens", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "touches",
        sa.Column("stage", sa.String(8), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("repo", sa.Text, primary_key=True),
        sa.Column("base_commit", sa.Text, primary_key=True),
        sa.Column("position", _SERIAL, primary_key=True, autoincrement=False),
        sa.Column("run", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "contexts",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )
    _create_pairs()
    op.create_table("mined", sa.Column("position", _SERIAL, primary_key=True, autoincrement=False))
    op.create_table(
        "funnel",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("stage", sa.String(32), primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
    )


def _create_pairs() -> None:
    op.create_table(
        "pairs",
        sa.Column("position", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("repo", sa.Text, nullable=False),
        sa.Column("base_commit", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("function", sa.Text, nullable=False),
        sa.Column("stage", sa.String(8), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("confounder_answer", sa.Text, nullable=False),
        sa.Column("anchor_id", sa.String(64), nullable=False),
        sa.Column("confounder_id", sa.String(64), nullable=False),
        sa.Column("anchor_key", sa.String(64), nullable=False),
        sa.Column("confounder_key", sa.String(64), nullable=False),
        sa.Column("similarity", sa.Double, nullable=False),
        sa.Column("judgement", sa.String(16), nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("pairs_by_run", "pairs", ["run", "judgement"])
    op.create_index("pairs_by_function", "pairs", ["function"], postgresql_using="hash")
    op.create_index("pairs_by_anchor", "pairs", ["anchor_id"])
    op.create_index("pairs_by_confounder", "pairs", ["confounder_id"])
