"""What is predicted: a table, lines below it, and an object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from farm.candidate import to_json
from farm.prediction import Basis, Prediction
from farm.units import counted
from reports.learning.quality import unlearnt
from reports.rows import Json, dump, prediction_json
from reports.tables.cells import prediction_cell, ratio_cell
from reports.tables.layout import Column, Rows
from tuner.learning.values import CandidatePrediction
from tuner.predicting import Forecast

_INTERVAL = "[90 %]"


def forecasts_table(found: Sequence[Forecast]) -> Rows:
    """One row for each candidate; several of a device are ranked."""
    is_ranked = any(each.expected for each in found)
    speed_up = f"expected speed-up{f' {_INTERVAL}' if is_ranked else ''}"
    table = Rows(
        [
            Column("device"),
            Column("candidate", wraps=24),
            Column(f"latency {_INTERVAL}", right=True),
            Column(speed_up, right=True, below=4),
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
                _speed_up(each, at),
                prediction_cell(predicted.peak_memory),
                prediction_cell(predicted.energy),
                _basis(predicted.latency),
            )
    return table


def forecast_lines(found: Sequence[Forecast]) -> Iterator[str]:
    """What the predictions rest on."""
    for each in found:
        if each.expected:
            yield from _ranking_lines(each)
        if each.trials is not None:
            count = len(each.predictions)
            yield (
                f"{each.device}: trying {'them' if count > 1 else 'it'} is expected to take "
                f"{prediction_cell(each.trials)}, by {counted(each.trials.rows, 'trial')}; races "
                "and confirmation come on top."
            )
        if not each.version:
            basis = "by kernels of its calibration"
            basis = f"{Basis.ROOFLINE} only" if each.is_roofline_only else basis
            yield f"{each.device}: {basis}: {unlearnt(was_tried=each.was_tried)}"
        else:
            yield f"{each.device}: by cost models of version {each.version}."
        yield from (f"{each.device}: {note}" for note in each.notes)
    yield "Latencies are those of a quiet machine; nine of ten lie within their intervals."


def _ranking_lines(found: Forecast) -> Iterator[str]:
    """Of what the first few are, and what their order rests on."""
    count = len(found.expected)
    yield (
        f"{found.device}: the first{f' {count}' if count > 1 else ''} of "
        f"{counted(found.considered, 'candidate')}, in the order in which a search would try them "
        "after the baseline, with the speed-up that it would expect; nothing was run."
    )
    if not any(each.rows for each in found.expected):
        yield (
            f"{found.device}: order and speed-ups are by rules of thumb, as a search begins where "
            "no whole model taught anything."
        )


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
        first["best"] = [
            {**_candidate(each), "why": said.sentence if said else None}
            for each, said in zip_longest(found.predictions, found.expected)
        ]
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


def _speed_up(found: Forecast, at: int) -> str:
    """By a search, where candidates are ranked; else by the latencies that are predicted."""
    if found.expected:
        return ratio_cell(*found.expected[at].speed_up)
    return f"{found.baseline.latency.value / found.predictions[at].latency.value:.2f}x"


def _basis(found: Prediction) -> str:
    return f"{found.basis}, {counted(found.rows, 'row')}"
