"""Nights: what each says of every series, and what became of the changes in them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _text(name: str, *key: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, *map(sa.ForeignKey, key), nullable=False)


def upgrade() -> None:
    """Create the tables; those of the same names were never written to, and go."""
    op.drop_table("change_point")
    op.drop_table("series")
    op.create_table(
        "series",
        sa.Column("id", sa.Text, primary_key=True),
        *map(_text, ("suite", "case_name", "device")),
        sa.Column("metric", sa.String(32), nullable=False),
        _text("environment"),
        _text("model_sha256", "model.sha256"),
        _text("good"),
    )
    op.create_table(
        "night",
        sa.Column("name", sa.Text, primary_key=True),
        _text("suite"),
        _text("machine_id", "machine.id"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        _text("details"),
    )
    op.create_table(
        "night_value",
        sa.Column("series_id", sa.Text, sa.ForeignKey("series.id"), primary_key=True),
        sa.Column("night", sa.Text, sa.ForeignKey("night.name"), primary_key=True),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        *map(_text, ("run", "verdict")),
        *(
            sa.Column(name, sa.Double)
            for name in ("value", "uncertainty", "seconds", "good_seconds", "p_value")
        ),
        _text("machine_id", "machine.id"),
        _text("software_id", "software.id"),
        _text("details"),
    )
    op.create_table(
        "change_point",
        sa.Column("id", sa.Text, primary_key=True),
        _text("series_id", "series.id"),
        _text("first_night", "night.name"),
        _text("found_night", "night.name"),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("ratio", "low", "high")),
        sa.Column("state", sa.String(32), nullable=False),
        _text("note"),
        sa.Column("triaged_at", sa.DateTime(timezone=True)),
        _text("details"),
    )
    for table, columns in (
        ("series", ("suite", "case_name")),
        ("night", ("suite", "started_at")),
        ("night_value", ("series_id", "measured_at")),
        ("night_value", ("night",)),
        ("change_point", ("series_id", "found_at")),
    ):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)
