"""Cost models: what was learnt of a device from everything that was measured on it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the table; an older farm learnt nothing."""
    op.create_table(
        "cost_model",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("machine_id", sa.Text, sa.ForeignKey("machine.id"), nullable=False),
        sa.Column("software_id", sa.Text, sa.ForeignKey("software.id"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("trials", sa.Integer, nullable=False),
        sa.Column("kernels", sa.Integer, nullable=False),
        sa.Column("fitted_to", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_index(
        "ix_cost_model_device_machine_id_created_at",
        "cost_model",
        ["device", "machine_id", "created_at"],
    )
