"""A night: every case of a suite is measured, then judged, and what looks changed is confirmed.

Nights may be cut short at any moment: what a case said is in the store at once, and the night goes
on there when it is run again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import chain, count

from db.questions.nights import nights, series_of, values_on
from db.records import Machine, Night, NightValue, utc_now
from db.store import Store
from farm.errors import FarmError, OptionError, StoreError
from farm.host.folders import data_folder
from farm.host.locks import Lock
from farm.text import did_you_mean
from tuner.nightly.case import CaseNight, Compared, Place
from tuner.nightly.details import Details, Failed, NightDetails, night_details
from tuner.nightly.judging import Judging
from tuner.nightly.screen.series import Verdict
from tuner.nightly.suites.suite import Case, Suite
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
        with _alone(self.suite.name):
            night = self._begun()
            environments = self._environments()
            for number, case in enumerate(cases, 1):
                self.say(f"{case.name} on {case.device} ({number} of {len(cases)})")
                self._measure(night, case, environments)
            Judging(self.place, self.suite, night, environments, self.say).judge()
            return self._ended(night)

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
            if now - last.started_at < _SAME_NIGHT:
                self.say(f"Going on with {last.name}, which was cut short.")
                self._failed = []
                return last
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
        measured = {value.series_id for value in values_on(store, night.name)}
        if measured & {series.id for series in known}:
            return
        try:
            measuring = CaseNight(self.place, self.suite.name, case, known)
            found = measuring.measure(environments, accept=case.name in self.options.accept)
        except StoreError:
            raise
        except FarmError as error:
            self.say(f"{case.name}: {error}")
            self._failed.append(Failed(case.name, str(error)))
            return
        self._failed += measuring.failed
        for compared in found:
            _enter(store, night, compared)

    def _ended(self, night: Night) -> Night:
        details = night_details(night.details, night.name)
        ended = replace(
            night,
            finished_at=utc_now(),
            details=replace(details, failed=tuple(self._failed)).to_json(),
        )
        self.place.store.add_night(ended)
        return ended


def _enter(store: Store, night: Night, compared: Compared) -> None:
    """What was measured of a series, not judged yet; a first night has the good state."""
    tonight, series = compared.tonight, compared.series
    first = tonight is None
    if first and not series.environment:
        series = replace(series, good=compared.now.to_json())
    store.add_series(series)
    details = Details(
        "" if first else compared.good.key,
        compared.now,
        compared.good,
        compared.environment,
        compared.machine,
        compared.label,
        tonight.ratio if tonight else None,
        tonight.noise if tonight else 0.0,
        tonight.pairs if tonight else 0,
        compared.seconds,
        notes=compared.notes,
    )
    store.add_night_value(
        NightValue(
            series.id,
            night.name,
            utc_now(),
            compared.run,
            Verdict.NOT_YET,
            tonight.log_ratio if tonight else None,
            tonight.uncertainty if tonight else None,
            compared.value,
            tonight.good_value if tonight else None,
            tonight.p_value if tonight else None,
            compared.machine_id,
            compared.software_id,
            details.to_json(),
        )
    )


def _free(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it where a night of the same second has it."""
    numbered = (f"{name}-{number}" for number in count(1))
    return next(free for free in chain([name], numbered) if free not in taken)


@contextmanager
def _alone(suite: str) -> Iterator[None]:
    """One process at a time runs a suite. Raises OptionError."""
    folder = data_folder() / "nightly"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', suite)}.lock"
    path.touch()
    lock = Lock.take_free(path)
    if lock is None:
        raise OptionError(f"A night of suite {suite} is being run already; wait for its end.")
    with lock:
        yield
