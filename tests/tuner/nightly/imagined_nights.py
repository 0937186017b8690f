"""Nights of a suite on an executor that answers at once, with a real store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from db.records import utc_now
from db.store import Store
from farm.candidate import Candidate, Fake, to_json
from farm.devices.profile import load_profiles
from farm.errors import FarmError
from farm.measurement import Metric
from tests.conftest import furnish
from tests.tuner.imagined import ImaginedExecutor, Traits
from tuner.events import ignore
from tuner.nightly.case import Place
from tuner.nightly.night import NightRun, Options
from tuner.nightly.recall import last_night
from tuner.nightly.report import CaseReport, NightReport
from tuner.nightly.suites.suite import DEFAULT_METRICS, Case, Suite

WATCHED = Candidate(Fake(seconds=1e-3))


@dataclass
class Nights:
    """A suite with one case on the fake device, whose candidate is a file.

    more: names of further cases, whose candidate never changes. installed: what is asked for, and
    the name that it gets. broken: what pip says.
    """

    store: Store
    folder: Path
    traits: dict[Candidate, Traits] = field(default_factory=dict)
    in_environment: dict[tuple[Candidate, str], Traits] = field(default_factory=dict)
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    schedule: str = ""
    more: tuple[str, ...] = ()
    broken: str = ""
    said: list[str] = field(default_factory=list)
    executors: list[ImaginedExecutor] = field(default_factory=list)
    interrupt_at: int | None = None
    engine_runs_there: bool = True
    metrics: tuple[Metric, ...] = DEFAULT_METRICS
    energy_window: float | None = None

    def __post_init__(self) -> None:
        furnish(self.folder)
        self.watch(WATCHED)

    def watch(self, candidate: Candidate) -> None:
        """Let the case's file have this candidate."""
        self.candidate_file.write_text(to_json(candidate))

    @property
    def candidate_file(self) -> Path:
        return self.folder / "candidate.json"

    @property
    def suite(self) -> Suite:
        steady = self.folder / "steady.json"
        steady.write_text(to_json(WATCHED))
        files = {"digits": self.candidate_file} | dict.fromkeys(self.more, steady)
        model, path = self.folder / "model.onnx", self.folder / "suite.toml"
        cases = tuple(
            Case(name, model, "fake", candidate=str(file), budget=5.0, metrics=self.metrics)
            for name, file in files.items()
        )
        return Suite("shop", path, cases, self.schedule, self.environments)

    def run(self, **options: object) -> NightReport:
        """One night."""
        night = NightRun(
            Place(
                *(self.store, load_profiles(), self._executor, self._environment_of, ignore),
                gives=lambda *_: self.engine_runs_there,
            ),
            self.suite,
            Options(**options),  # type: ignore[arg-type]
            self._install,
            self.said.append,
        )
        night.run()
        return self.report()

    def report(self) -> NightReport:
        return last_night(self.store, self.suite, utc_now())

    def case(self, **options: object) -> CaseReport:
        """One night, and what it says of the only series."""
        (case,) = self.run(**options).cases
        return case

    def _executor(self, _profile: object) -> ImaginedExecutor:
        executor = ImaginedExecutor(self.traits)
        executor.pinned = self.in_environment
        executor.unlike = True
        executor.energy_window = self.energy_window
        executor.interrupt_at = self.interrupt_at
        self.executors.append(executor)
        return executor

    def _install(self, name: str, packages: Sequence[str]) -> str:
        if self.broken:
            raise FarmError(self.broken)
        return f"suite-shop-{name}"

    def _environment_of(self, engine: str, versions: Mapping[str, str]) -> str:
        return f"{engine} of then"
