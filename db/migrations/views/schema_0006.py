"""The views of schema 0006: what the tables hold, by the names that people use.

The reference of the columns is docs/reference/store.md. ``CROSS JOIN`` says in which order SQLite
goes through the tables; PostgreSQL finds the same order by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Where a trial has one metric by several methods, the first of these is shown.
_PREFERENCE = (
    "CASE v.method WHEN 'measured' THEN 0 WHEN 'emulated' THEN 1 WHEN 'modelled' THEN 2 ELSE 3 END"
)


def statements(dialect: str) -> Iterator[str]:
    """``CREATE VIEW`` for each of them. dialect: ``sqlite`` or ``postgresql``."""
    written = _SQLITE if dialect == "sqlite" else _POSTGRESQL
    for name, query in (
        ("trials", _TRIALS),
        ("best", _BEST),
        ("latest", _latest(written)),
        ("failures", _FAILURES),
        ("predicted", PREDICTED),
        ("history", _HISTORY),
        ("regressions", _REGRESSIONS),
    ):
        yield f"CREATE VIEW {name} AS {query}"


def _of_trial(metric: str, column: str, trial: str = "t.id") -> str:
    """One column of a trial's measurement of a metric."""
    return (
        f"(SELECT v.{column} FROM measurement v WHERE v.trial_id = {trial}"  # noqa: S608 (constants)
        f" AND v.metric = '{metric}' ORDER BY {_PREFERENCE} LIMIT 1)"
    )


_FIGURES: Mapping[str, tuple[str, str]] = {
    "latency": ("latency", "value"),
    "latency_low": ("latency", "low"),
    "latency_high": ("latency", "high"),
    "latency_method": ("latency", "method"),
    "latency_p50": ("latency_p50", "value"),
    "latency_p90": ("latency_p90", "value"),
    "latency_p99": ("latency_p99", "value"),
    "throughput": ("throughput", "value"),
    "throughput_method": ("throughput", "method"),
    "cpu_seconds": ("cpu_seconds", "value"),
    "load_time": ("load_time", "value"),
    "first_result": ("first_result", "value"),
    "peak_memory": ("peak_memory", "value"),
    "peak_memory_method": ("peak_memory", "method"),
    "energy": ("energy", "value"),
    "energy_method": ("energy", "method"),
    "energy_window": ("energy_window", "value"),
    "idle_power": ("idle_power", "value"),
    "accuracy": ("accuracy", "value"),
    "model_size": ("model_size", "value"),
}

_TRIALS = f"""
    SELECT t.id AS trial, t.run, r.kind, t.phase, t.outcome, t.message,
        m.name AS model, r.model_sha256, t.device, h.hostname AS machine,
        c.label AS candidate, t.candidate_id,
        {", ".join(f"{_of_trial(*figure)} AS {name}" for name, figure in _FIGURES.items())},
        t.created_at, t.finished_at
    FROM trial t
    JOIN run r ON r.name = t.run
    JOIN model m ON m.sha256 = r.model_sha256
    JOIN machine h ON h.id = t.machine_id
    JOIN candidate c ON c.id = t.candidate_id
"""  # noqa: S608 (constants)

# The end of a ranking is one step into an index, whichever end is the better one.
_BEST_OF = """
    SELECT m.name AS model, k.model_sha256, k.device, h.hostname AS machine, k.metric, k.method,
        v.value, v.low, v.high, v.unit, c.label AS candidate, t.candidate_id, t.id AS trial, t.run,
        t.phase, t.created_at, {window} AS energy_window, {idle} AS idle_power
    FROM (
        SELECT g.*,
            CASE WHEN g.metric IN ('throughput', 'accuracy') THEN (
                SELECT e.trial_id FROM measurement e WHERE e.ranking_id = g.id
                ORDER BY e.value DESC, e.trial_id DESC LIMIT 1
            ) ELSE (
                SELECT e.trial_id FROM measurement e WHERE e.ranking_id = g.id
                ORDER BY e.value, e.trial_id LIMIT 1
            ) END AS trial_id
        FROM ranking g
        WHERE g.unseen OR NOT EXISTS (
            SELECT 1 FROM ranking u
            WHERE u.model_sha256 = g.model_sha256 AND u.device = g.device
                AND u.machine_id = g.machine_id AND u.unseen
                AND u.metric = g.metric AND u.method = g.method
                AND (SELECT min(e.value) FROM measurement e WHERE e.ranking_id = u.id) IS NOT NULL
        )
    ) k
    CROSS JOIN measurement v
    CROSS JOIN trial t
    CROSS JOIN candidate c
    CROSS JOIN model m
    CROSS JOIN machine h
    WHERE v.trial_id = k.trial_id AND v.metric = k.metric AND v.method = k.method
        AND t.id = v.trial_id AND c.id = t.candidate_id
        AND m.sha256 = k.model_sha256 AND h.id = k.machine_id
"""
_OF_ENERGY = "CASE WHEN k.metric = 'energy' AND k.method = 'measured' THEN {value} END"
_BEST = _BEST_OF.format(
    window=_OF_ENERGY.format(value=_of_trial("energy_window", "value")),
    idle=_OF_ENERGY.format(value=_of_trial("idle_power", "value")),
)

_FAILURES = """
    SELECT m.name AS model, r.model_sha256, t.device, t.outcome, t.message,
        count(*) AS trials, max(t.created_at) AS newest, max(t.id) AS trial
    FROM trial t
    JOIN run r ON r.name = t.run
    JOIN model m ON m.sha256 = r.model_sha256
    WHERE t.outcome <> 'ok'
    GROUP BY m.name, r.model_sha256, t.device, t.outcome, t.message
"""

# Of each candidate the newest prediction of a kind, and the newest measurement beside it.
PREDICTED = """
    WITH kinds AS (
        SELECT DISTINCT p.model_sha256, p.device, p.metric, p.method,
            q.metric AS measured_metric, q.method AS measured_by
        FROM ranking p
        JOIN ranking q ON q.model_sha256 = p.model_sha256 AND q.device = p.device
        WHERE p.method IN ('modelled', 'planned') AND q.method IN ('measured', 'emulated')
            AND (q.metric = p.metric OR (p.metric = 'arena' AND q.metric = 'peak_memory'))
    ), newest AS (
        SELECT g.model_sha256, g.device, g.metric, g.method, t.candidate_id, v.trial_id, v.value,
            v.unit, row_number() OVER (
                PARTITION BY g.model_sha256, g.device, g.metric, g.method, t.candidate_id
                ORDER BY t.created_at DESC, t.id
            ) AS place
        FROM ranking g
        CROSS JOIN measurement v
        CROSS JOIN trial t
        WHERE v.ranking_id = g.id AND t.id = v.trial_id AND EXISTS (
            SELECT 1 FROM kinds k
            WHERE k.model_sha256 = g.model_sha256 AND k.device = g.device
                AND ((k.metric = g.metric AND k.method = g.method)
                    OR (k.measured_metric = g.metric AND k.measured_by = g.method))
        )
    )
    SELECT m.name AS model, k.model_sha256, k.device, c.label AS candidate, a.candidate_id,
        k.metric, k.method AS predicted_by, a.value AS predicted,
        k.measured_metric, k.measured_by, b.value AS measured, b.unit,
        a.trial_id AS predicted_trial, b.trial_id AS measured_trial
    FROM kinds k
    JOIN newest a ON a.place = 1 AND a.model_sha256 = k.model_sha256 AND a.device = k.device
        AND a.metric = k.metric AND a.method = k.method
    JOIN newest b ON b.place = 1 AND b.model_sha256 = k.model_sha256 AND b.device = k.device
        AND b.metric = k.measured_metric AND b.method = k.measured_by
        AND b.candidate_id = a.candidate_id
    JOIN candidate c ON c.id = a.candidate_id
    JOIN model m ON m.sha256 = k.model_sha256
"""

_HISTORY = """
    SELECT s.suite, s.case_name, s.device, s.metric, s.environment, m.name AS model,
        s.model_sha256, v.night, v.measured_at, v.verdict, v.value AS log_ratio, v.uncertainty,
        v.seconds AS value, v.good_seconds AS good_value, v.p_value,
        (SELECT c.state FROM change_point c WHERE c.series_id = v.series_id
            AND c.first_night = v.night ORDER BY c.found_at DESC LIMIT 1) AS change_state,
        h.hostname AS machine, v.software_id, v.run, v.series_id
    FROM night_value v
    JOIN series s ON s.id = v.series_id
    JOIN model m ON m.sha256 = s.model_sha256
    JOIN machine h ON h.id = v.machine_id
"""

# Open: the last change of its series, confirmed, and neither expected nor noise.
_REGRESSIONS = """
    SELECT s.suite, s.case_name, s.device, s.metric, s.environment, m.name AS model,
        s.model_sha256, c.ratio, c.low, c.high, c.state, c.note, c.first_night, c.found_night,
        c.found_at,
        (SELECT v.night FROM night_value v WHERE v.series_id = s.id
            ORDER BY v.measured_at DESC LIMIT 1) AS last_night,
        (SELECT v.value FROM night_value v WHERE v.series_id = s.id
            ORDER BY v.measured_at DESC LIMIT 1) AS last_log_ratio,
        c.id AS change_id, s.id AS series_id
    FROM change_point c
    JOIN series s ON s.id = c.series_id
    JOIN model m ON m.sha256 = s.model_sha256
    WHERE c.state IN ('confirmed', 'bug') AND c.ratio > 1
        AND NOT EXISTS (SELECT 1 FROM change_point l
            WHERE l.series_id = c.series_id AND l.found_at > c.found_at)
"""


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a run's summary, a JSON text, is taken apart.

    devices: a table d of ``key`` and ``value`` of each device. text, number: with ``{path}``, of a
    device; a number that JSON does not know is NULL.
    """

    devices: str
    text: str
    number: str


_SQLITE = _Dialect(
    devices="CROSS JOIN json_each(coalesce(r.summary, '{}'), '$.devices') d",
    text="json_extract(d.value, '$.{path}')",
    number="CASE WHEN json_type(d.value, '$.{path}') IN ('real', 'integer')"
    " THEN json_extract(d.value, '$.{path}') END",
)
_POSTGRESQL = _Dialect(
    devices="CROSS JOIN LATERAL jsonb_each(r.summary::jsonb -> 'devices') d",
    text="(d.value #>> string_to_array('{path}', '.'))",
    number="CASE WHEN jsonb_typeof(d.value #> string_to_array('{path}', '.')) = 'number'"
    " THEN (d.value #>> string_to_array('{path}', '.'))::float8 END",
)


def _latest(written: _Dialect) -> str:
    """Of each model, device and machine the newest run that has a winner."""
    number = {
        name: written.number.format(path=f"ratio.{key}")
        for name, key in (("ratio", "value"), ("ratio_low", "low"), ("ratio_high", "high"))
    }
    return f"""
    SELECT m.name AS model, n.model_sha256, n.device, h.hostname AS machine, n.run, n.created_at,
        n.verdict, n.ratio, n.ratio_low, n.ratio_high,
        c.label AS winner, n.winner_trial,
        {_of_trial("latency", "value", "n.winner_trial")} AS latency,
        {_of_trial("latency", "method", "n.winner_trial")} AS latency_method,
        n.baseline_trial,
        {_of_trial("latency", "value", "n.baseline_trial")} AS baseline_latency
    FROM (
        SELECT newest.*, (SELECT b.id FROM trial b WHERE b.run = newest.run
            AND b.device = newest.device AND b.phase = 'confirm'
            ORDER BY b.created_at, b.id LIMIT 1) AS baseline_trial
    FROM (
        SELECT r.model_sha256, d.key AS device, r.name AS run, r.created_at,
            {written.text.format(path="verdict")} AS verdict,
            {", ".join(f"{value} AS {name}" for name, value in number.items())},
            w.id AS winner_trial, w.candidate_id, w.machine_id,
            row_number() OVER (
                PARTITION BY r.model_sha256, d.key, w.machine_id
                ORDER BY r.created_at DESC, r.name DESC
            ) AS place
        FROM run r
        {written.devices}
        JOIN trial w ON w.id = {written.text.format(path="trial")}
        WHERE {written.text.format(path="status")} = 'tuned'
    ) newest
    WHERE newest.place = 1
    ) n
    JOIN candidate c ON c.id = n.candidate_id
    JOIN model m ON m.sha256 = n.model_sha256
    JOIN machine h ON h.id = n.machine_id
    """  # noqa: S608 (constants)
