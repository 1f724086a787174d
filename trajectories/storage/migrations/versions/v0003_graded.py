"""Whether a trajectory has a verdict or a reward is asked by: one without is neither resolved nor failed.

Bodies are only read, and only those of trajectories that are not resolved and have no reward.
"""

import json

import sqlalchemy as sa
import zstandard
from alembic import op

revision = "0003"
down_revision = "0002"

_PAGE = 100
_HERE = "FROM trajectories JOIN bodies USING (position) WHERE NOT resolved AND reward IS NULL"
_BODIES = sa.text(
    f"SELECT position, bodies.document {_HERE} AND position > :after ORDER BY position LIMIT {_PAGE}"
).columns(position=sa.Integer, document=sa.LargeBinary)


def upgrade() -> None:
    """Everything that was there reads back as before."""
    op.add_column("trajectories", sa.Column("graded", sa.Boolean, nullable=False, server_default=sa.true()))
    connection, told = op.get_bind(), op.get_context().opts["progress"]
    count = connection.scalar(sa.text(f"SELECT count(*) {_HERE}")) or 0
    row = sa.table("trajectories", sa.column("position", sa.Integer), sa.column("graded", sa.Boolean))
    done, after = 0, -1
    while page := connection.execute(_BODIES, {"after": after}).all():
        bare = [position for position, document in page if not _verdict(document)]
        connection.execute(sa.update(row).where(row.c.position.in_(bare)).values(graded=False))
        done, after = done + len(page), page[-1].position
        told(done, count)


def _verdict(document: bytes) -> bool:
    text = zstandard.ZstdDecompressor().decompress(bytes(document))
    return json.loads(text.split(b"\n", 1)[0])["verdict"] is not None
