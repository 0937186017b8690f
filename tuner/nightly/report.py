"""What a night says of a suite: values for whoever shows or judges it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from farm.measurement import Estimate, Metric
from tuner.nightly.screen.series import Verdict

FINE, REGRESSED, NOT_MEASURED = 0, 1, 3
"""What ``farm nightly check`` ends with."""


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """A step that was seen.

    id: for ``farm nightly triage``. first_night: the first one at the new level. ratio: new level
    over old, above 1 is worse. pairs: of the run that confirmed it. causes: what is known to have
    changed then (``software``, ``machine``). state: see ``db.night_records.ChangeState``.
    """

    id: str
    first_night: str
    ratio: Estimate
    pairs: int = 0
    causes: tuple[str, ...] = ()
    state: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class CaseReport:
    """One series on one night.

    environment: of the suite, compared with today's software; empty where today's is compared
    with the last good state. ratio: the metric over that of what it is compared with, above 1 is
    worse; None where it was not measured. value, good_value: of both, in the metric's unit.
    nights: that count, tonight included. sentence: what there is to say, for people.
    """

    case: str
    model: str
    device: str
    metric: Metric
    environment: str
    verdict: Verdict
    sentence: str
    ratio: Estimate | None = None
    value: float | None = None
    good_value: float | None = None
    p_value: float | None = None
    nights: int = 0
    change: ChangeReport | None = None
    notes: tuple[str, ...] = ()
    run: str = ""
    candidate: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class NightReport:
    """One night of a suite.

    night: its name; empty where there was none. finished_at: None of one that was cut short.
    notes: sentences on the night as a whole: nights that were missed, another machine. is_stale:
    a night was due since, and did not run.
    """

    suite: str
    night: str
    started_at: datetime | None
    finished_at: datetime | None
    machine: str
    cases: tuple[CaseReport, ...]
    notes: tuple[str, ...] = ()
    is_stale: bool = False

    @property
    def verdict(self) -> Verdict:
        """The worst of the cases, as far as they count.

        What an environment of the suite would bring is no regression of today's software; that it
        could not be measured counts. Of a night that was due and did not run nothing is known.
        """
        verdicts = [
            case.verdict
            for case in self.cases
            if not case.environment or case.verdict is Verdict.NOT_MEASURED
        ]
        return worst([*verdicts, Verdict.NOT_MEASURED] if self.is_stale else verdicts)

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a regression, 3 something could not be measured."""
        if self.verdict is Verdict.REGRESSION:
            return REGRESSED
        whole = self.finished_at is not None and not self.is_stale
        measured = self.verdict is not Verdict.NOT_MEASURED
        return FINE if measured and whole else NOT_MEASURED


_WORST_FIRST = (
    Verdict.REGRESSION,
    Verdict.NOT_MEASURED,
    Verdict.INCONCLUSIVE,
    Verdict.IMPROVEMENT,
    Verdict.NO_CHANGE,
    Verdict.NOT_YET,
)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict over several; of none, nothing was measured."""
    return min(verdicts, key=_WORST_FIRST.index, default=Verdict.NOT_MEASURED)
