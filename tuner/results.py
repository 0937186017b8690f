"""What a run found, as values: what tables show, ``--json`` prints and the store keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from farm.accuracy.result import Worst
from farm.measurement import Estimate, Measurement, Metric, Outcome
from farm.prediction import Prediction
from tuner.goals import Objective


class Status(StrEnum):
    """Whether a device was tuned."""

    TUNED = "tuned"
    UNAVAILABLE = "unavailable"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class Verdict(StrEnum):
    """What the confirmation says."""

    IMPROVED = "improved"
    NO_GAIN = "no significant gain over the baseline"
    NOTHING_TRIED = "nothing-tried"  # but the baseline
    NOTHING_ELSE_OK = "nothing-else-ok"  # all else failed or was rejected
    WITHIN_LIMITS = "within the limits, which the baseline is not"
    SPLIT = "runs as a split only, which is not faster than the baseline elsewhere"
    NONE_WITHIN_LIMITS = "nothing was within the limits, not even the baseline"

    @property
    def words(self) -> str:
        """For people; the value is for programs."""
        return _WORDS.get(self, str(self))


_WORDS = {
    Verdict.NOTHING_TRIED: "nothing but the baseline was tried",
    Verdict.NOTHING_ELSE_OK: "everything but the baseline failed or was rejected",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate as the confirmation measured it, or the search where it was interrupted.

    trial_id: of that measurement, what ``farm bench --trial`` takes. predicted: before that.
    """

    trial_id: str
    candidate_id: str
    label: str
    artifact_key: str
    measurements: Mapping[Metric, Measurement]
    predicted: Mapping[Metric, Prediction] = field(default_factory=dict)

    def value(self, metric: Metric) -> float | None:
        """A value, None where it was not measured."""
        found = self.measurements.get(metric)
        return None if found is None else found.value


@dataclass(frozen=True, slots=True)
class AccuracyComparison:
    """Accuracy on the confirmation part. Its values are None where it cannot be judged.

    original: of the model as the user gave it: the baseline, unless that does not fit the device.
    on_real_data: false where the inputs were made up.
    worst: where the winner's outputs differ most from the baseline's.
    notes: sentences on what could not be judged.
    """

    metric: str
    baseline: float | None
    original: float | None
    winner: float | None
    samples: int
    on_real_data: bool
    worst: Worst | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceResult:
    """What became of one device.

    reason: why it is not tuned, or why there was nothing to compare the baseline with.
    remedy: what would change that.
    winner: what was confirmed. best: in place of a winner where the run was interrupted, the best
    of the search, which nothing confirmed; it may be the baseline.
    ratio: baseline latency over the winner's, or the best's; None when that is the baseline.
    gain: the same of the objective.
    disturbed: blocks that were discarded and run again; tolerated: kept although disturbed.
    notes: sentences about what was not tried, does not fit, or was fixed in the model.
    places: devices that run the winner, its own first.
    """

    device: str
    status: Status
    reason: str = ""
    remedy: str = ""
    verdict: Verdict | None = None
    baseline: Measured | None = None
    winner: Measured | None = None
    best: Measured | None = None
    ratio: Estimate | None = None
    gain: Estimate | None = None
    accuracy: AccuracyComparison | None = None
    trials: Mapping[Outcome, int] = field(default_factory=dict)
    disturbed: int = 0
    tolerated: int = 0
    output: str = ""
    notes: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What became of a run.

    interrupted: by Ctrl-C; it can be resumed by its name.
    threads: the limit that was asked for, 0 for none.
    """

    run: str
    model_path: str
    model_sha256: str
    devices: tuple[DeviceResult, ...]
    output: str
    interrupted: bool = False
    objective: Objective = Objective.LATENCY
    threads: int = 0

    @property
    def any_tuned(self) -> bool:
        """Whether at least one device was tuned."""
        return any(device.status is Status.TUNED for device in self.devices)
