"""Cost models of devices, and what they said of trials before these were measured."""

import sqlalchemy as sa
from alembic import op

from db.migrations.views import schema_0008

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the tables; an older farm learnt nothing. Predictions are in a view, too."""
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
    op.create_table(
        "prediction",
        sa.Column("trial_id", sa.Text, sa.ForeignKey("trial.id"), primary_key=True),
        sa.Column("metric", sa.String(32), primary_key=True),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("low", sa.Double, nullable=False),
        sa.Column("high", sa.Double, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("basis", sa.String(32), nullable=False),
        sa.Column("row_count", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
    )
    for statement in schema_0008.statements():
        op.get_bind().exec_driver_sql(statement)
