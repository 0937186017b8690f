"""Rankings of values, and views for people.

A later migration that copies or changes a table drops the views that read it first, and creates
them again.
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.views import schema_0006

revision = "0006"
down_revision = "0005"

_RANKING = ("model_sha256", "device", "machine_id", "unseen", "metric", "method")


def upgrade() -> None:
    """Create the table, rank what was measured before, and create the views."""
    op.drop_index("ix_run_model_sha256", "run")
    op.create_index("ix_run_model_sha256_created_at", "run", ["model_sha256", "created_at"])
    op.create_table(
        "ranking",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model_sha256", sa.Text, sa.ForeignKey("model.sha256"), nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("machine_id", sa.Text, sa.ForeignKey("machine.id"), nullable=False),
        sa.Column("unseen", sa.Boolean, nullable=False),
        sa.Column("metric", sa.String(32), nullable=False),
        sa.Column("method", sa.String(32), nullable=False),
        sa.UniqueConstraint(*_RANKING),
    )
    # Alembic would copy the table, the largest of all, for a column that points to another one.
    op.execute(
        "ALTER TABLE measurement ADD COLUMN ranking_id INTEGER"
        " CONSTRAINT fk_measurement_ranking_id_ranking REFERENCES ranking (id)"
    )
    _rank_what_is_there()
    op.create_index(
        "ix_measurement_ranking_id_value_trial_id",
        "measurement",
        ["ranking_id", "value", "trial_id"],
    )
    for statement in schema_0006.statements(op.get_bind().dialect.name):
        op.get_bind().exec_driver_sql(statement)


def _rank_what_is_there() -> None:
    of_trial = "FROM trial t JOIN run r ON r.name = t.run"
    op.execute(
        f"INSERT INTO ranking ({', '.join(_RANKING)})"
        " SELECT DISTINCT r.model_sha256, t.device, t.machine_id, t.phase <> 'search', v.metric,"
        f" v.method {of_trial} JOIN measurement v ON v.trial_id = t.id WHERE t.outcome = 'ok'"
    )
    op.execute(
        f"UPDATE measurement SET ranking_id = (SELECT k.id {of_trial}"  # noqa: S608 (constants)
        " JOIN ranking k ON k.model_sha256 = r.model_sha256 AND k.device = t.device"
        " AND k.machine_id = t.machine_id AND k.unseen = (t.phase <> 'search')"
        " WHERE t.id = measurement.trial_id AND t.outcome = 'ok'"
        " AND k.metric = measurement.metric AND k.method = measurement.method)"
    )
