"""A night: every case of a suite is measured, then judged, and what looks changed is confirmed.

Nights may be cut short at any moment: what a case said is in the store at once, and the night goes
on there when it is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, count

from db.night_records import Night, Series
from db.questions.nightly.nights import nights, series_of, values_on
from db.records import Machine, utc_now
from farm.errors import FarmError, OptionError, StoreError
from farm.text import did_you_mean
from farm.units import counted
from tuner.learning.versions import refit
from tuner.nightly.alone import alone
from tuner.nightly.case import CaseNight, Place
from tuner.nightly.details import Failed, NightDetails, night_details
from tuner.nightly.entering import enter, enter_failure
from tuner.nightly.screen.series import Verdict
from tuner.nightly.suites.suite import Case, Suite
from tuner.nightly.verdicts.judging import Judging
from workers.fingerprint import fingerprint

Say = Callable[[str], None]
_SAME_NIGHT = timedelta(hours=20)


@dataclass(frozen=True, slots=True)
class Options:
    """How a night is run.

    only: names of cases; none for all. accept: cases of which what is measured is good from now
    on, whatever was before. anew: do not go on with a night that was cut short.
    """

    only: Collection[str] = ()
    accept: Collection[str] = ()
    anew: bool = False


@dataclass
class NightRun:
    """One night of a suite.

    install: makes an environment of the suite and gives its installed name. say: told what is
    being done, line by line.
    """

    place: Place
    suite: Suite
    options: Options
    install: Callable[[str, Sequence[str]], str]
    say: Say
    _failed: list[Failed] = field(default_factory=list)

    def run(self) -> Night:
        """Measure, judge, confirm. Raises OptionError, StoreError, KeyboardInterrupt."""
        cases = self._chosen()
        with alone(self.suite.name):
            night = self._begun()
            environments = self._environments()
            for number, case in enumerate(cases, 1):
                self.say(f"{case.name} on {case.device} ({number} of {len(cases)})")
                self._measure(night, case, environments)
            Judging(self.place, self.suite, night, self.say).judge()
            for name in dict.fromkeys(case.device for case in cases):
                profile = self.place.profiles.get(name)
                more = refit(self.place.store, profile, night.machine_id) if profile else ()
                for note in more:
                    self.say(note)
            return self._noted(night, utc_now())

    def _chosen(self) -> tuple[Case, ...]:
        names = [case.name for case in self.suite.cases]
        for name in (*self.options.only, *self.options.accept):
            if name not in names:
                raise OptionError(
                    f"Suite {self.suite.name} has no case '{name}'. {did_you_mean(name, names)}"
                    f"Its cases: {', '.join(names)}."
                )
        only = self.options.only
        return tuple(case for case in self.suite.cases if not only or case.name in only)

    def _begun(self) -> Night:
        """A new night in the store, or the last one if it was cut short since yesterday."""
        store, now = self.place.store, utc_now()
        before = nights(store, self.suite.name)
        last = next(iter(before), None)
        if last is not None and last.finished_at is None and not self.options.anew:
            if night_details(last.details, last.name).path != str(self.suite.path):
                self.say(
                    f"{last.name} was cut short, and is of another file of this suite's name."
                )
            elif now - last.started_at < _SAME_NIGHT:
                self.say(f"Going on with {last.name}, which was cut short.")
                # What failed as a whole is tried again; an environment of a case is not.
                failed = night_details(last.details, last.name).failed
                self._failed = [each for each in failed if each.case and each.environment]
                return last
            else:
                self.say(f"{last.name} was cut short and is too long ago to go on with.")
        here = fingerprint()
        machine = Machine.identify(here.hostname, here.cpu, here.cores, here.memory_bytes)
        store.add_machine(machine)
        details = NightDetails(str(self.suite.path), here.id, here.describe())
        name = _free(f"{self.suite.name}-{now:%Y%m%d-%H%M%S}", {night.name for night in before})
        night = Night(name, self.suite.name, machine.id, now, None, details.to_json())
        store.add_night(night)
        return night

    def _environments(self) -> dict[str, str]:
        """The suite's environments by name, as installed; those that fail are noted."""
        found = {}
        for name, packages in self.suite.environments.items():
            try:
                found[name] = self.install(name, packages)
            except FarmError as error:
                self._failed.append(Failed("", str(error), name))
        return found

    def _measure(self, night: Night, case: Case, environments: Mapping[str, str]) -> None:
        """Measure a case, unless this night did, and enter what it says."""
        store = self.place.store
        known = [
            series
            for series in series_of(store, self.suite.name)
            if (series.case, series.device) == (case.name, case.device)
        ]
        if self._is_measured(night, case, known):
            return
        try:
            measuring = CaseNight(self.place, self.suite.name, case, known)
            found = measuring.measure(environments, accept=case.name in self.options.accept)
        except StoreError:
            raise
        except FarmError as error:
            self.say(f"{case.name}: {error}")
            self._failed.append(Failed(case.name, str(error)))
            enter_failure(store, night, known, str(error))
            return
        self._failed += measuring.failed
        self._noted(night)
        for compared in found:
            enter(store, night, compared)

    def _is_measured(self, night: Night, case: Case, known: Sequence[Series]) -> bool:
        """Whether this night measured all of a case, before it was cut short."""
        values = values_on(self.place.store, night.name)
        there = {v.series_id for v in values if v.verdict != Verdict.NOT_MEASURED}
        own = {s.metric for s in known if s.id in there and not s.environment}
        return own >= set(case.metrics)

    def _noted(self, night: Night, ended: datetime | None = None) -> Night:
        """The night with what failed so far, in the store."""
        details = night_details(night.details, night.name)
        details = replace(details, failed=tuple(self._failed), notes=tuple(self._notes()))
        night = replace(night, finished_at=ended, details=details.to_json())
        self.place.store.add_night(night)
        return night

    def _notes(self) -> Iterator[str]:
        if self.options.only:
            several = counted(len(self.suite.cases), "case")
            yield f"Only {', '.join(self.options.only)} was asked for, of {several}."


def _free(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where a night of the same second has it."""
    numbered = (f"{name}-{number}" for number in count(1))
    return next(free for free in chain([name], numbered) if free not in taken)
