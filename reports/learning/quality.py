"""How good a device's cost models are: a table, lines around it, and an object for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from db.costs.versions import CostModelRecord
from db.records import CalibrationRecord
from farm.prediction import Basis
from farm.units import counted
from reports.rows import Json, dump
from reports.tables.layout import Column, Rows
from tuner.learning.report import Report


def quality_table(report: Report) -> Rows:
    """One row for each quantity that is predicted."""
    table = Rows(
        [
            Column("quantity"),
            Column("off by", right=True),
            Column("roofline's", right=True),
            Column("90 % cover", right=True),
            Column("interval", right=True),
            Column("rows", right=True),
            Column("models", right=True),
            Column("used"),
        ],
        title="On models that were left out, medians",
    )
    for each in report.quantities:
        table.add(
            each.quantity,
            f"{each.error:.1%}",
            f"{each.roofline_error:.1%}",
            f"{each.coverage:.1%}",
            f"±{each.width:.0%}",
            f"{each.rows:,}",
            f"{each.models:,}",
            "learned" if each.is_used else str(Basis.ROOFLINE),
        )
    return table


def quality_lines(version: CostModelRecord, report: Report) -> Iterator[str]:
    """What there is to know of a version, and what of it is not believed."""
    made = f"{version.created_at:%Y-%m-%d %H:%M:%S} UTC"
    told = ((version.trials, "trial"), (version.kernels, "kernel"))
    rows = " and ".join(counted(count, what) for count, what in told if count)
    yield f"Version {version.id} of {version.device}, made {made} from {rows}."
    worse = [each.quantity for each in report.quantities if not each.is_used]
    if worse:
        yield (
            f"Not used, because it is no better than the {Basis.ROOFLINE} on models that were "
            f"left out: {', '.join(worse)}."
        )
    if not report.quantities:
        yield "Too few models were measured to say how good it is."
    if report.held_out:
        inside = sum(pair.is_inside for pair in report.held_out)
        yield (
            f"Of {counted(len(report.held_out), 'candidate')} of models that were left out, the "
            f"latencies of {inside / len(report.held_out):.1%} lie within their intervals."
        )


def unlearned_line(
    device: str, calibration: CalibrationRecord | None, *, was_tried: bool = False
) -> str:
    """What there is to say of a device without cost models. was_tried: see ``unlearnt``."""
    if calibration is None:
        return (
            f"{device} was never calibrated on this machine, and nothing was learnt of it: "
            f"farm devices calibrate {device}"
        )
    return (
        f"{device}: {Basis.ROOFLINE} only, by the calibration {calibration.id}: "
        f"{unlearnt(was_tried=was_tried)}"
    )


def unlearnt(*, was_tried: bool) -> str:
    """Why a device has no cost models. was_tried: whether the store has trials of it."""
    if was_tried:
        return (
            "this version of the farm has not learnt from its trials yet; it does after the next "
            "farm tune or farm bench."
        )
    return "no whole model taught anything yet; farm tune and farm bench do."


def quality_json(
    device: str,
    calibration: CalibrationRecord | None,
    version: CostModelRecord | None,
    report: Report,
) -> str:
    """The object that ``farm devices show NAME --model --json`` prints."""
    found: dict[str, Json] = {
        "device": device,
        "calibration": None if calibration is None else calibration.id,
        "version": None,
        "quantities": [asdict(each) for each in report.quantities],
        "held_out": [asdict(each) for each in report.held_out],
    }
    if version is not None:
        found["version"] = {
            "id": version.id,
            "created_at": version.created_at.isoformat(),
            "format": version.format,
            "trials": version.trials,
            "kernels": version.kernels,
        }
    return dump(found)
