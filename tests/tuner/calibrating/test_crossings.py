"""What parts take in place, by engines that take what is written down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu, OpenVinoRuntime
from farm.costs.calibration import CostPlace
from farm.costs.kernels import KernelGroup, seconds_within
from farm.costs.probes.rows import row_models
from farm.devices.profile import load_profiles
from farm.plan.placement.problem import CALLER
from tests.tuner.calibrating.timed import BORDER, LAUNCH, PER_BYTE, TimedExecutor
from tuner.calibrating.crossings import borders_in_place, part_beside
from tuner.calibrating.measure import Bench
from tuner.calibrating.places import MeasuredPlace
from tuner.runs.clock import Budget
from workers.jobs import TrialJob
from workers.protocol import PartSeconds

ORT, OPENVINO, PACKAGE = OnnxRuntimeCpu(), OpenVinoRuntime(), CPackage()


def place(engine: OnnxRuntimeCpu | OpenVinoRuntime | CPackage) -> MeasuredPlace:
    return MeasuredPlace(CostPlace("cpu", engine.kind), Candidate(engine))


def bench(executor: TimedExecutor) -> Bench:
    return Bench(executor, load_profiles()["cpu"], Budget(60.0), lambda _: None)  # type: ignore[arg-type]


def test_every_part_shows_what_it_takes_beyond_its_kernels() -> None:
    found = borders_in_place(bench(TimedExecutor()), [place(ORT), place(OPENVINO)], 60.0)
    assert len(found) == len(row_models(5)) * 5
    for each in found:
        (part,) = each.parts
        border = 0.0 if part.before == CALLER else BORDER + PER_BYTE * part.taken
        assert each.seconds - part.known == pytest.approx(LAUNCH + border)
        assert part.taken == part.given > 0


def test_what_comes_late_is_left_out_but_for_the_first_row() -> None:
    found = borders_in_place(bench(TimedExecutor()), [place(ORT), place(OPENVINO)], -1.0)
    assert len(found) == 5


def test_where_there_is_time_rows_are_measured_again_and_the_least_counts() -> None:
    class Slower(TimedExecutor):
        """The first time something else runs."""

        rows = 0

        def _part(self, job: TrialJob, at: int) -> PartSeconds:
            told = super()._part(job, at)
            self.rows += at == 0
            return replace(told, seconds=told.seconds * (3.0 if self.rows <= 1 else 1.0))

    once, twice = (
        borders_in_place(bench(Slower()), [place(ORT), place(OPENVINO)], -1.0, again)
        for again in (-1.0, 60.0)
    )
    for slow, fast in zip(once, twice, strict=True):
        assert slow.seconds == pytest.approx(3.0 * fast.seconds)


def test_threads_of_parts_do_not_spin_for_long_beside_another_engine() -> None:
    assert part_beside("cpu", ORT, ["a"]).engine == OnnxRuntimeCpu(spin_microseconds=20)
    assert part_beside("cpu", OPENVINO, ["a"]).engine == OPENVINO


def test_one_engine_has_no_border() -> None:
    assert borders_in_place(bench(TimedExecutor()), [place(ORT)], 60.0) == ()


def test_what_fails_is_noted_and_left_out() -> None:
    measuring = bench(TimedExecutor(broken=frozenset({"openvino-runtime"})))
    assert borders_in_place(measuring, [place(ORT), place(OPENVINO)], -1.0) == ()
    assert measuring.notes == ["Borders in place cannot be measured: It does not start."]


def test_a_kernel_that_others_share_counts_by_its_share() -> None:
    groups = [KernelGroup(("a", "b"), 4.0), KernelGroup(("c",), 8.0), KernelGroup(("d",), 16.0)]
    assert seconds_within(groups, ["b", "c"]) == 2.0 + 8.0
