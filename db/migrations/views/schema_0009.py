"""What schema 0009 changes of the views: ``history`` has the interval of a night's ratio, too."""

from __future__ import annotations

from collections.abc import Iterator

# An end of the interval that JSON has no number for is infinite: then there is no interval.
_SQLITE = (
    "CASE WHEN json_type(v.details, '$.ratio.high') IN ('real', 'integer')"
    " THEN json_extract(v.details, '$.ratio.{end}') END"
)
_POSTGRESQL = (
    "CASE WHEN jsonb_typeof(v.details::jsonb -> 'ratio' -> 'high') = 'number'"
    " THEN (v.details::jsonb -> 'ratio' ->> '{end}')::float8 END"
)


def statements(dialect: str) -> Iterator[str]:
    """The view in place of the older one. dialect: ``sqlite`` or ``postgresql``."""
    written = _SQLITE if dialect == "sqlite" else _POSTGRESQL
    yield "DROP VIEW history"
    yield f"CREATE VIEW history AS {_history(written)}"


def _history(written: str) -> str:
    return f"""
    SELECT s.suite, s.case_name, s.device, s.metric, s.environment, m.name AS model,
        s.model_sha256, v.night, v.measured_at, v.verdict, v.value AS log_ratio, v.uncertainty,
        v.seconds AS value, v.good_seconds AS good_value, v.p_value,
        (SELECT c.state FROM change_point c WHERE c.series_id = v.series_id
            AND c.first_night = v.night ORDER BY c.found_at DESC LIMIT 1) AS change_state,
        h.hostname AS machine, v.software_id, v.run, v.series_id,
        {written.format(end="low")} AS ratio_low,
        {written.format(end="high")} AS ratio_high
    FROM night_value v
    JOIN series s ON s.id = v.series_id
    JOIN model m ON m.sha256 = s.model_sha256
    JOIN machine h ON h.id = v.machine_id
"""  # noqa: S608 (constants)
