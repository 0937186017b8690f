"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.String(32)
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create every table; those that others point to come first."""
    _create_identities()
    _create_runs()
    _create_trials()
    _create_blocks()
    _create_series()


def _create_identities() -> None:
    op.create_table(
        "machine",
        _key("id"),
        _text("hostname"),
        _text("cpu"),
        sa.Column("cores", sa.Integer, nullable=False),
        sa.Column("memory_bytes", sa.BigInteger, nullable=False),
        _text("details"),
    )
    op.create_table("software", _key("id"), _text("versions"))
    op.create_table(
        "model",
        _key("sha256"),
        _text("name"),
        sa.Column("opset", sa.Integer, nullable=False),
        sa.Column("operators", sa.Integer, nullable=False),
        sa.Column("parameters", sa.BigInteger, nullable=False),
        sa.Column("macs", sa.BigInteger, nullable=False),
        _text("details"),
    )
    op.create_table("candidate", _key("id"), _text("json"), _text("label"))
    op.create_table(
        "artifact",
        _key("key"),
        _text("model_sha256", "model.sha256"),
        _text("kind"),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )


def _create_runs() -> None:
    op.create_table(
        "run",
        _key("name"),
        sa.Column("kind", NAME, nullable=False),
        _text("model_sha256", "model.sha256", index=True),
        _text("machine_id", "machine.id"),
        _text("software_id", "software.id"),
        sa.Column("seed", sa.BigInteger, nullable=False),
        _text("request"),
        sa.Column("status", NAME, nullable=False),
        sa.Column("created_at", TIME, nullable=False, index=True),
        sa.Column("finished_at", TIME),
        sa.Column("active_seconds", sa.Double, nullable=False),
        sa.Column("summary", sa.Text),
    )


def _create_trials() -> None:
    op.create_table(
        "trial",
        _key("id"),
        _text("run", "run.name"),
        _text("device"),
        _text("candidate_id", "candidate.id", index=True),
        sa.Column("phase", NAME, nullable=False),
        _text("machine_id", "machine.id"),
        _text("software_id", "software.id"),
        sa.Column("outcome", NAME),
        _text("message"),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("artifact_key", sa.Text, sa.ForeignKey("artifact.key")),
        sa.Column("created_at", TIME, nullable=False, index=True),
        sa.Column("finished_at", TIME),
        _text("details"),
    )
    op.create_index("ix_trial_run_device", "trial", ["run", "device"])
    op.create_table(
        "measurement",
        _key("trial_id", "trial.id"),
        sa.Column("metric", NAME, primary_key=True),
        sa.Column("method", NAME, primary_key=True),
        _text("unit"),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("low", sa.Double),
        sa.Column("high", sa.Double),
        sa.Column("sample_count", sa.Integer, nullable=False),
        sa.Column("samples", sa.LargeBinary, nullable=False),
    )


def _create_blocks() -> None:
    op.create_table(
        "block",
        sa.Column("id", sa.Integer, primary_key=True),
        _text("run", "run.name"),
        _text("device"),
        sa.Column("race", sa.Integer, nullable=False),
        sa.Column("block_index", sa.Integer, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("kept", sa.Boolean, nullable=False),
        _text("reason"),
        sa.Column("sentinel_seconds", sa.Double),
        sa.UniqueConstraint("run", "device", "race", "block_index"),
    )
    op.create_table(
        "block_sample",
        sa.Column("block_id", sa.Integer, sa.ForeignKey("block.id"), primary_key=True),
        _key("trial_id", "trial.id", index=True),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("cpu_seconds", sa.Double, nullable=False),
        sa.Column("loops", sa.Integer, nullable=False),
        sa.Column("run_order", sa.Integer, nullable=False),
        sa.Column("peak_bytes", sa.BigInteger, nullable=True),
    )


def _create_series() -> None:
    op.create_table(
        "series",
        _key("id"),
        _text("model_sha256", "model.sha256"),
        _text("case_name"),
        _text("device"),
        sa.Column("metric", NAME, nullable=False),
        sa.UniqueConstraint("model_sha256", "case_name", "device", "metric"),
    )
    op.create_table(
        "change_point",
        _key("series_id", "series.id"),
        _key("run", "run.name"),
        sa.Column("found_at", TIME, nullable=False),
        sa.Column("ratio", sa.Double, nullable=False),
        sa.Column("low", sa.Double, nullable=False),
        sa.Column("high", sa.Double, nullable=False),
        _text("details"),
    )


def _key(name: str, target: str | None = None, *, index: bool = False) -> sa.Column[str]:
    references = [sa.ForeignKey(target)] if target else []
    return sa.Column(name, sa.Text, *references, primary_key=True, index=index or None)


def _text(name: str, target: str | None = None, *, index: bool = False) -> sa.Column[str]:
    references = [sa.ForeignKey(target)] if target else []
    return sa.Column(name, sa.Text, *references, nullable=False, index=index or None)
