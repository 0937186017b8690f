"""Profiles: what each kernel of a candidate takes, and which operators it stands for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table; what an older farm measured has no profiles."""
    op.create_table(
        "operator_profile",
        sa.Column("trial_id", sa.Text, sa.ForeignKey("trial.id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("kernel", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("operators", sa.Text, nullable=False),
        sa.Column("precision", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double),
        sa.Column("packets", sa.BigInteger),
        sa.Column("method", sa.String(32), nullable=False),
    )
