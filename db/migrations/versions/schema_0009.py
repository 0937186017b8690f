"""Energies of blocks that a counter told, and the interval of a night's ratio in its view."""

import sqlalchemy as sa
from alembic import op

from db.migrations.views import schema_0009

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns, of which older blocks know none, and make the view anew."""
    for name in ("joules", "energy_window", "idle_watts"):
        op.add_column("block_sample", sa.Column(name, sa.Double, nullable=True))
    connection = op.get_bind()
    for statement in schema_0009.statements(connection.dialect.name):
        connection.exec_driver_sql(statement)
