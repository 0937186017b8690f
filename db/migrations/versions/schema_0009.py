"""Blocks say what a counter told of each candidate's energy."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns; of older blocks none is known."""
    for name in ("joules", "energy_window", "idle_watts"):
        op.add_column("block_sample", sa.Column(name, sa.Double, nullable=True))
