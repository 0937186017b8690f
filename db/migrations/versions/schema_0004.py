"""Blocks say how long the longest single run took, and loading."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns; of older blocks neither is known."""
    for name in ("longest_seconds", "load_seconds"):
        op.add_column("block_sample", sa.Column(name, sa.Double, nullable=True))
