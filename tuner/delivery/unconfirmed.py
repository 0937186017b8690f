"""What a search had found when it was interrupted: shown, and delivered as not confirmed.

Whoever pressed Ctrl-C waits for it. So it is written from the cache at once, or a sentence says
why not; nothing is compiled or measured any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from db.records import Phase
from db.store import Store
from farm.artifact.folder import PIPELINE_FILE
from farm.candidate import PackageEngine, Pipeline
from farm.delivery.files import MODEL_FILE
from farm.errors import FarmError
from farm.measurement import Estimate, Metric
from tuner.delivery.record import read_origin
from tuner.delivery.winners import Provenance, deliver, deliver_pipeline
from tuner.goals import Objective
from tuner.racing.objective import Scorer
from tuner.racing.track import RaceTrack
from tuner.results import DeviceResult, Measured, Status
from tuner.runs.history import Entry
from tuner.runs.record.journal import Journal
from tuner.runs.start import OpenRun
from tuner.search.search import Search, count_outcomes
from workers.executor import Executor


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A device that is being tuned."""

    journal: Journal
    search: Search
    scorer: Scorer
    track: RaceTrack


def interrupted(device: str) -> DeviceResult:
    """The result of a device of which nothing was measured before the interruption."""
    return DeviceResult(device, Status.INTERRUPTED, "interrupted before anything was measured")


def best_so_far(
    store: Store, opened: OpenRun, executor: Executor, under_way: UnderWay
) -> DeviceResult:
    """The result of the device that was being tuned, its best candidate delivered."""
    journal, search, track = under_way.journal, under_way.search, under_way.track
    device, baseline, best = journal.scope.device, search.baseline, _best(under_way)
    result = replace(
        interrupted(device),
        trials=count_outcomes(search.entries),
        disturbed=track.disturbed,
        tolerated=track.tolerated,
    )
    if baseline is None:
        return result
    result = replace(result, baseline=measured(baseline))
    if best is None:
        return replace(result, reason="interrupted before anything was within the limits")
    result = replace(
        result, reason="interrupted before anything was confirmed", best=measured(best)
    )
    if best is not baseline:
        gain = 1.0 / (best.ratio or 1.0)
        ratio = gain
        if opened.request.objective is not Objective.LATENCY:
            ratio = (baseline.value(Metric.LATENCY) or 1.0) / (best.value(Metric.LATENCY) or 1.0)
        result = replace(result, ratio=_point(ratio), gain=_point(gain))
    provenance = Provenance(store, opened, result, best.candidate, baseline.candidate)
    return _delivered(provenance, executor, best)


def measured(entry: Entry) -> Measured:
    """An entry as results show it."""
    return Measured(
        entry.trial_id,
        entry.candidate.id,
        entry.candidate.label(),
        entry.artifact_key,
        entry.measurements,
        entry.predicted,
    )


def _best(under_way: UnderWay) -> Entry | None:
    """The best that no confirmation has refused, else the baseline if it is within limits."""
    search, baseline = under_way.search, under_way.search.baseline
    for entry in search.leaders():
        if not under_way.journal.failed(entry.candidate, Phase.CONFIRM):
            return entry
    if baseline is None or under_way.scorer.broken_limit(baseline, search.original or baseline):
        return None
    return baseline


def _point(ratio: float) -> Estimate:
    return Estimate(ratio, ratio, ratio)


def _delivered(provenance: Provenance, executor: Executor, best: Entry) -> DeviceResult:
    """The result with the folder of its best, or with a sentence on why there is none."""
    result = provenance.result
    if best.candidate.engine.kind == "fake":
        return result  # the fake device has no model that could be delivered
    try:
        kept = _kept(provenance)
        if kept or isinstance(best.candidate.engine, PackageEngine):
            return _undelivered(result, kept or _unfinished(provenance))
        files: Mapping[str, bytes] = executor.cached_files(result.device, best.artifact_key)
        if isinstance(best.candidate.engine, Pipeline) and PIPELINE_FILE in files:
            return replace(result, output=str(deliver_pipeline(provenance, files)))
        if MODEL_FILE not in files:
            return _undelivered(result, "its model is not in the cache of its machine")
        return replace(result, output=str(deliver(provenance, files)))
    except (FarmError, OSError) as error:
        return _undelivered(result, str(error).rstrip("."))


def _kept(provenance: Provenance) -> str:
    """Which confirmed winner lies in the place, and stays there; "" if there is none."""
    origin = read_origin(provenance.folder)
    if origin is None or not origin.confirmed:
        return ""
    return f"{provenance.folder} keeps {origin}, which was confirmed"


def _unfinished(provenance: Provenance) -> str:
    """Why a package is not written: its worker may be busy, and builds and compares for long."""
    return (
        "it is a compiled package, which is completed and checked once it is confirmed; that does "
        f"farm tune --resume {provenance.opened.name}"
    )


def _undelivered(result: DeviceResult, why: str) -> DeviceResult:
    return replace(result, notes=(*result.notes, f"The best so far was not written: {why}."))
