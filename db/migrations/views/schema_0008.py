"""What schema 0008 changes of the views: ``predicted`` has what cost models said, too."""

from __future__ import annotations

from collections.abc import Iterator

from db.migrations.views.schema_0006 import PREDICTED

# Of each candidate the newest trial that has both.
_BY_COST_MODELS = """
    SELECT model, model_sha256, device, candidate, candidate_id, metric, predicted_by, predicted,
        measured_metric, measured_by, measured, unit, predicted_trial, measured_trial
    FROM (
        SELECT m.name AS model, r.model_sha256, t.device, c.label AS candidate, t.candidate_id,
            p.metric, p.basis AS predicted_by, p.value AS predicted,
            v.metric AS measured_metric, v.method AS measured_by, v.value AS measured, v.unit,
            t.id AS predicted_trial, t.id AS measured_trial, row_number() OVER (
                PARTITION BY r.model_sha256, t.device, t.candidate_id, v.metric, v.method
                ORDER BY t.created_at DESC, t.id
            ) AS place
        FROM prediction p
        JOIN measurement v ON v.trial_id = p.trial_id AND v.metric = p.metric
        JOIN trial t ON t.id = p.trial_id
        JOIN run r ON r.name = t.run
        JOIN model m ON m.sha256 = r.model_sha256
        JOIN candidate c ON c.id = t.candidate_id
        WHERE v.method IN ('measured', 'emulated')
    ) pairs
    WHERE place = 1
"""


def statements() -> Iterator[str]:
    """The view in place of the older one."""
    yield "DROP VIEW predicted"
    yield f"CREATE VIEW predicted AS {PREDICTED} UNION ALL {_BY_COST_MODELS}"
