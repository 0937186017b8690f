"""What verifying a delivered folder showed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from farm.measurement import Estimate
from tuner.delivery.record import Record, RecordedAccuracy
from tuner.verify.claim import Holds
from tuner.verify.package import Verified


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying a delivered folder showed.

    holds, reason: the verdict and why. claimed, measured: ratios of the objective, baseline over
    winner; None where there is no claim, or nothing was measured. accuracy: as it was delivered;
    reached: the same on this machine, None where it cannot be compared. package: of packages.
    disagreements: sentences without their full stop.
    """

    folder: Path
    holds: Holds
    reason: str = ""
    record: Record | None = None
    claimed: Estimate | None = None
    measured: Estimate | None = None
    blocks: int = 0
    reached: RecordedAccuracy | None = None
    package: Verified | None = None
    disagreements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
