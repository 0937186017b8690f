"""Calibrations: what operators and borders cost on a machine's devices."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table; an older farm calibrated nothing."""
    op.create_table(
        "calibration",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("machine_id", sa.Text, sa.ForeignKey("machine.id"), nullable=False),
        sa.Column("software_id", sa.Text, sa.ForeignKey("software.id"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("constants", sa.Text, nullable=False),
        sa.Column("borders", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_index(
        "ix_calibration_device_machine_id_created_at",
        "calibration",
        ["device", "machine_id", "created_at"],
    )
