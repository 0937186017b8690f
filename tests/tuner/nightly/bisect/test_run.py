"""Bisections on an executor that answers at once: which version, which option, or neither."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from db.night_records import Series
from db.records import RunStatus
from db.store import Store
from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu, to_json
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import DeviceError, InfrastructureError, OptionError
from farm.measurement import Metric, Outcome
from reports.nightly.bisection import bisection_json, bisection_tables, step_line
from tests.conftest import furnish
from tests.tuner.imagined import ImaginedExecutor, Traits
from tuner.events import ignore
from tuner.nightly.bisect.ends import Asked
from tuner.nightly.bisect.measure import Setting
from tuner.nightly.bisect.result import Axis, Bisection, Step
from tuner.nightly.bisect.run import bisect
from tuner.nightly.case import Place
from tuner.nightly.states.good import GoodState
from tuner.nightly.suites.suite import Case

WATCHED = Candidate(OnnxRuntimeCpu(threads=1))
PINNED = Candidate(OnnxRuntimeCpu(threads=2, spinning=False))
VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5")


@dataclass
class Bisections:
    """A case whose candidates take what is written down, with six versions of its engine.

    slow_from: the first version that takes 20 % more. traits: of candidates in versions.
    """

    store: Store
    folder: Path
    slow_from: str = "1.3"
    today: str = "1.5"
    candidate: Candidate = WATCHED
    traits: dict[tuple[Candidate, str], Traits] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    good: GoodState | None = None
    steps: list[Step] = field(default_factory=list)
    interrupt_at: int | None = None
    alike: bool = False

    def run(self, good: str = "", bad: str = "", metric: Metric = Metric.LATENCY) -> Bisection:
        furnish(self.folder)
        (self.folder / "candidate.json").write_text(to_json(self.candidate))
        place = Place(self.store, {"fake": self.profile}, self._executor, _never, ignore)
        setting = Setting(place, self.case, self._released, self._install, self.steps.append)
        return bisect(setting, "shop", self._series(), Asked(metric, good, bad))

    @property
    def profile(self) -> DeviceProfile:
        return replace(load_profiles()["cpu"], name="fake")

    @property
    def case(self) -> Case:
        model, candidate = self.folder / "model.onnx", self.folder / "candidate.json"
        return Case("digits", model, "fake", candidate=str(candidate), budget=5.0)

    def _executor(self, _profile: object) -> ImaginedExecutor:
        executor = ImaginedExecutor()
        executor.software = {"onnxruntime": self.today}
        for version in VERSIONS:
            slow = VERSIONS.index(version) >= VERSIONS.index(self.slow_from) and not self.alike
            for candidate in (WATCHED, PINNED):
                key = (candidate, f"ort {version}")
                executor.pinned[key] = Traits(1.2e-3 if slow else 1e-3)
        executor.pinned |= self.traits
        executor.interrupt_at = self.interrupt_at
        return executor

    def _series(self) -> list[Series]:
        found = Series.identify("shop", "digits", "fake", Metric.LATENCY, "", "0" * 64)
        return [replace(found, good=self.good.to_json() if self.good else "")]

    def _released(self, package: str) -> tuple[str, ...]:
        assert package == "onnxruntime"
        return VERSIONS

    def _install(self, engine: str, package: str, version: str) -> str:
        assert (engine, package) == ("onnxruntime-cpu", "onnxruntime")
        if version in self.missing:
            raise DeviceError(self.missing[version])
        return f"ort {version}"


def _never(engine: str, versions: Mapping[str, str]) -> str:
    raise AssertionError(engine, versions)


def state(candidate: Candidate = WATCHED, version: str = "1.0") -> GoodState:
    return GoodState(to_json(candidate), "0" * 64, {"onnxruntime": version}, "a-run")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Bisections]:
    with Store.open(":memory:") as store:
        yield Bisections(store, tmp_path, good=state())


@pytest.mark.parametrize("slow_from", VERSIONS[1:])
def test_the_guilty_version(shop: Bisections, slow_from: str) -> None:
    shop.slow_from = slow_from
    found = shop.run()
    before = VERSIONS[VERSIONS.index(slow_from) - 1]
    assert (found.last_good, found.first_bad) == (before, slow_from)
    assert (found.package, found.good, found.bad) == ("onnxruntime", "1.0", "1.5")
    assert found.ratio.low < 1.2 < found.ratio.high or found.ratio.value == pytest.approx(1.2)
    assert found.option == ""
    assert found.unknown == ()
    assert found.sentence == (
        f"onnxruntime {slow_from}: 20.0 % slower than {before} [20.0, 20.0]; most of it in conv "
        "(Conv): 1.20 ms in place of 1.00 ms."
    )
    assert list(found.steps) == shop.steps
    assert shop.steps[0].axis is Axis.BOTH
    assert {step.axis for step in shop.steps[1:]} == {Axis.VERSION}
    assert len(shop.steps) <= 4, "three looks are enough for four versions in between"
    assert shop.store.run(found.run).status is RunStatus.FINISHED


def test_an_upgrade_that_was_undone(shop: Bisections) -> None:
    """What is asked for goes before what is known, and may be newer than what is bad."""
    shop.traits = {
        (WATCHED, f"ort {version}"): Traits(1e-3 if version >= "1.3" else 1.2e-3)
        for version in VERSIONS
    }
    found = shop.run("onnxruntime==1.4", "onnxruntime==1.1")
    assert (found.last_good, found.first_bad) == ("1.3", "1.2")


def test_a_smaller_step_on_the_way_is_not_the_one(shop: Bisections) -> None:
    for version, seconds in (("1.1", 1.03e-3), ("1.2", 1.03e-3)):
        shop.traits[WATCHED, f"ort {version}"] = Traits(seconds)
    assert shop.run().first_bad == "1.3"


def test_versions_that_cannot_be_measured_are_gone_around(shop: Bisections) -> None:
    shop.missing = {"1.2": "No environment of onnxruntime==1.2 can be made."}
    shop.traits[WATCHED, "ort 1.3"] = Traits(outcome=Outcome.RUN_ERROR, message="it is broken.")
    found = shop.run()
    assert (found.last_good, found.first_bad) == ("1.1", "1.4")
    assert found.unknown == ("onnxruntime 1.2", "onnxruntime 1.3")
    assert "it may have begun with onnxruntime 1.2, onnxruntime 1.3, which could not be" in (
        found.sentence
    )
    reasons = {step.name: step.reason for step in shop.steps if step.bad is None}
    assert reasons == {
        "onnxruntime 1.2": "No environment of onnxruntime==1.2 can be made.",
        "onnxruntime 1.3": "onnxruntime 1.3 cannot be measured (run-error: it is broken).",
    }


def test_nothing_is_guilty(shop: Bisections) -> None:
    shop.alike = True
    found = shop.run()
    assert not found.found
    assert (found.last_good, found.first_bad, found.operators) == ("", "", ())
    assert found.sentence.startswith("Nothing was found: where only onnxruntime differs, ")
    assert len(shop.steps) == 1


def test_the_guilty_option(shop: Bisections) -> None:
    """The versions are alike, and one of two options is not."""
    shop.alike = True
    shop.candidate = PINNED
    half = replace(PINNED, engine=replace(PINNED.engine, spinning=True))
    for version in VERSIONS:
        shop.traits[half, f"ort {version}"] = Traits(1e-3)
        shop.traits[PINNED, f"ort {version}"] = Traits(1.3e-3)
    found = shop.run()
    assert (found.last_good, found.first_bad) == ("", "")
    assert found.option == "spinning true -> false"
    assert found.sentence.startswith("With spinning true -> false: 30.0 % slower ")
    assert found.sentence.endswith("; most of it in conv (Conv): 1.30 ms in place of 1.00 ms.")
    assert [step.axis for step in shop.steps] == [Axis.BOTH, Axis.VERSION, Axis.OPTION]


def test_an_option_where_only_that_differs(shop: Bisections) -> None:
    shop.today = "1.0"
    shop.candidate = PINNED
    half = replace(PINNED, engine=replace(PINNED.engine, spinning=True))
    shop.traits = {
        (half, "ort 1.0"): Traits(1.3e-3),
        (PINNED, "ort 1.0"): Traits(1.3e-3),
    }
    assert shop.run().option == "threads 1 -> 2"


def test_what_a_state_cannot_run(shop: Bisections) -> None:
    shop.traits[WATCHED, "ort 1.5"] = Traits(outcome=Outcome.TIMEOUT, message="no answer.")
    with pytest.raises(InfrastructureError) as caught:
        shop.run()
    assert str(caught.value) == (
        "Nothing can be found out: onnxruntime 1.5 cannot be measured (timeout: no answer)."
    )


def test_operators_that_cannot_be_told_are_a_note(shop: Bisections) -> None:
    shop.traits[WATCHED, "ort 1.3"] = Traits(1.2e-3, fails_in_profile=True)
    found = shop.run()
    assert found.first_bad == "1.3"
    assert found.operators == ()
    assert found.notes == ("The operators are not known: it cannot be watched.",)


def test_ctrl_c_leaves_the_steps(shop: Bisections) -> None:
    shop.interrupt_at = 70
    with pytest.raises(KeyboardInterrupt):
        shop.run()
    assert len(shop.steps) >= 2
    (run,) = shop.store.runs()
    assert run.status is RunStatus.INTERRUPTED


def _without_good(shop: Bisections) -> None:
    shop.good = None


def _same(shop: Bisections) -> None:
    shop.today = "1.0"


@pytest.mark.parametrize(
    ("change", "asked", "sentence"),
    [
        (
            _without_good,
            (),
            "Which version of onnxruntime was good is not known; give --good onnxruntime==",
        ),
        (_same, (), "The last good state and today's have onnxruntime 1.0 and the same candidate"),
        (_same, ("onnxruntime",), "'onnxruntime' is no version of a package; write PACKAGE=="),
        (
            _same,
            ("onnxruntime==1.0", "numpy==2"),
            "--good and --bad name two packages, numpy and onnxruntime; name one.",
        ),
        (
            _same,
            ("onnxruntime==0.5",),
            "onnxruntime 0.5 is not among the versions that pip can install here; the newest of",
        ),
    ],
)
def test_what_cannot_be_asked(
    shop: Bisections, change: Callable[[Bisections], None], asked: tuple[str, ...], sentence: str
) -> None:
    change(shop)
    with pytest.raises(OptionError) as caught:
        shop.run(*asked)
    assert str(caught.value).startswith(sentence)


def test_a_metric_that_blocks_do_not_have(shop: Bisections) -> None:
    with pytest.raises(OptionError, match="accuracy has no value of each block"):
        shop.run(metric=Metric.ACCURACY)


def test_energy_that_no_counter_tells(shop: Bisections) -> None:
    with pytest.raises(DeviceError, match="energy of fake cannot be watched: it has no counter"):
        shop.run(metric=Metric.ENERGY)


def test_engines_without_versions(shop: Bisections) -> None:
    shop.candidate = Candidate(CPackage())
    shop.good = state(Candidate(CPackage()))
    with pytest.raises(OptionError, match="have the same candidate, so there is nothing"):
        shop.run()


def test_as_people_and_programs_see_it(shop: Bisections) -> None:
    from io import StringIO

    from rich.console import Console

    found = shop.run()
    told = json.loads(bisection_json(found))
    assert (told["package"], told["last_good"], told["first_bad"]) == ("onnxruntime", "1.2", "1.3")
    assert told["good"] == {"version": "1.0", "candidate": json.loads(to_json(WATCHED))}
    assert told["steps"][0]["differs"] == "good and bad"
    assert told["operators"][0]["operators"] == ["conv"]
    assert step_line(shop.steps[0]) == (
        "onnxruntime 1.5: 1.200 [1.200, 1.200] of the good state's, bad"
    )
    console = Console(file=StringIO(), width=100)
    for table in bisection_tables(found):
        console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "onnxruntime 1.5" in text
    assert "1.200 [1.200, 1.200]" in text
    assert "Operators that take most more" in text
