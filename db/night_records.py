"""Records of nights: series of values that are followed, and where they changed their level.

As those of :mod:`db.records`: times are UTC and aware, ``details`` and ``good`` are JSON texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from db.records import content_id, utc_now
from farm.measurement import Metric


class ChangeState(StrEnum):
    """What is known of a change point.

    The last three are what people say of it (``farm nightly triage``).
    """

    CONFIRMED = "confirmed"  # by a run of both states side by side
    REFUTED = "refuted"  # by such a run
    AWAY = "went away"  # within two nights, by itself
    EXPECTED = "expected"  # the new level is the good one from now on
    BUG = "bug"  # it is known, and stays a regression until it is gone
    NOISE = "noise"  # it never was one


@dataclass(frozen=True, slots=True)
class Series:
    """One model x case x device x metric, followed over nights.

    environment: of the suite, whose software is compared with today's; empty where today's is
    compared with the last good state. good: that state, a JSON text; empty where there is none.
    """

    id: str
    suite: str
    case: str
    device: str
    metric: Metric
    environment: str
    model_sha256: str
    good: str = ""

    @classmethod
    def identify(
        cls,
        suite: str,
        case: str,
        device: str,
        metric: Metric,
        environment: str,
        model_sha256: str,
    ) -> Series:
        """A series with the id that follows from what it is of."""
        key = content_id(suite, case, device, str(metric), environment, model_sha256)
        return cls(key, suite, case, device, metric, environment, model_sha256)


@dataclass(frozen=True, slots=True)
class Night:
    """One invocation of ``farm nightly run``, over all cases of a suite.

    name: unique: ``shop-floor-20261129-030000``. finished_at: None of one that was cut short.
    """

    name: str
    suite: str
    machine_id: str
    started_at: datetime = field(default_factory=utc_now)
    finished_at: datetime | None = None
    details: str = "{}"


@dataclass(frozen=True, slots=True)
class NightValue:
    """What one night says of one series.

    run: which has the trials and blocks; it may be gone since. value: log of the metric over that
    of what it is compared with, above 0 is worse; uncertainty: its standard error within the
    night; None where nothing could be measured, and ``details`` say why. seconds, good_seconds:
    of both, in the metric's unit.
    """

    series_id: str
    night: str
    measured_at: datetime
    run: str
    verdict: str
    value: float | None
    uncertainty: float | None
    seconds: float | None
    good_seconds: float | None
    p_value: float | None
    machine_id: str
    software_id: str
    details: str = "{}"


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A place where a series changed its level.

    first_night: the first one at the new level; found_night: the one that raised it. ratio: new
    level over old, above 1 is worse, with its interval. state, note: of what became of it.
    """

    id: str
    series_id: str
    first_night: str
    found_night: str
    found_at: datetime
    ratio: float
    low: float
    high: float
    state: ChangeState
    note: str = ""
    triaged_at: datetime | None = None
    details: str = "{}"
