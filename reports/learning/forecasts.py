"""What is predicted: a table, lines below it, and an object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from farm.candidate import to_json
from farm.prediction import Basis, Prediction
from farm.units import counted
from reports.rows import Json, dump, prediction_json
from reports.tables.cells import prediction_cell
from reports.tables.layout import Column, Rows
from tuner.learning.values import CandidatePrediction
from tuner.predicting import Forecast

_INTERVAL = "[90 %]"


def forecasts_table(found: Sequence[Forecast]) -> Rows:
    """One row for each candidate; several of a device are ranked."""
    table = Rows(
        [
            Column("device"),
            Column("candidate", wraps=24),
            Column(f"latency {_INTERVAL}", right=True),
            Column("expected speed-up", right=True, below=4),
            Column(f"peak memory {_INTERVAL}", right=True, below=3),
            Column(f"energy {_INTERVAL}", right=True, below=2),
            Column("basis", below=1),
        ]
    )
    for each in found:
        for at, predicted in enumerate(each.predictions):
            table.add(
                "" if at else each.device,
                predicted.candidate.label(),
                prediction_cell(predicted.latency),
                _speed_up(each.baseline, predicted),
                prediction_cell(predicted.peak_memory),
                prediction_cell(predicted.energy),
                _basis(predicted.latency),
            )
    return table


def forecast_lines(found: Sequence[Forecast]) -> Iterator[str]:
    """What the predictions rest on."""
    for each in found:
        if len(each.predictions) > 1:
            yield (
                f"{each.device}: the best {len(each.predictions)} of "
                f"{counted(each.considered, 'candidate')} by the lower bound of the latency, in "
                "the order in which a search would try them; nothing was run."
            )
        if each.trials is not None:
            count = len(each.predictions)
            yield (
                f"{each.device}: trying {'them' if count > 1 else 'it'} is expected to take "
                f"{prediction_cell(each.trials)}, by {counted(each.trials.rows, 'trial')}; races "
                "and confirmation come on top."
            )
        if each.is_roofline_only:
            yield (
                f"{each.device}: {Basis.ROOFLINE} only: nothing was learnt of this device yet; "
                "farm tune and farm bench teach it."
            )
        elif not each.version:
            yield (
                f"{each.device}: by kernels of its calibration: no whole model taught anything "
                "yet; farm tune and farm bench do."
            )
        else:
            yield f"{each.device}: by cost models of version {each.version}."
        yield from (f"{each.device}: {note}" for note in each.notes)
    yield "Latencies are those of a quiet machine; nine of ten lie within their intervals."


def forecasts_json(found: Sequence[Forecast], *, ranked: bool) -> str:
    """The object that ``farm predict --json`` prints: seconds, bytes and joules.

    ranked: each device has ``best``, a list, too; what stands beside it is the first of them.
    """
    return dump({"devices": [_device(each, ranked=ranked) for each in found]})


def _device(found: Forecast, *, ranked: bool) -> Json:
    first: dict[str, Json] = {"device": found.device}
    first |= _candidate(found.predictions[0])
    first |= {
        "version": found.version or None,
        "roofline_only": found.is_roofline_only,
        "considered": found.considered,
        "trials": prediction_json(found.trials),
        "notes": list(found.notes),
    }
    if ranked:
        first["best"] = [_candidate(each) for each in found.predictions]
    return first


def _candidate(found: CandidatePrediction) -> dict[str, Json]:
    return {
        "candidate": json.loads(to_json(found.candidate)),
        "label": found.candidate.label(),
        "latency": prediction_json(found.latency),
        "cpu": prediction_json(found.cpu_seconds),
        "peak_memory": prediction_json(found.peak_memory),
        "energy": prediction_json(found.energy),
        "failure": found.failure,
    }


def _speed_up(baseline: CandidatePrediction, found: CandidatePrediction) -> str:
    return f"{baseline.latency.value / found.latency.value:.2f}x"


def _basis(found: Prediction) -> str:
    return f"{found.basis}, {counted(found.rows, 'row')}"
