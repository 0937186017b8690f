"""What a border takes in place, by two engines that take what is written down."""

from __future__ import annotations

import pytest

from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu, OpenVinoRuntime, Pipeline
from farm.costs.calibration import CostPlace, Crossing
from farm.costs.probes.halves import halves_model
from farm.devices.profile import load_profiles
from farm.units import Seconds
from tests.tuner.calibrating.timed import TimedExecutor
from tuner.calibrating.crossings import crossings
from tuner.calibrating.measure import Bench
from tuner.calibrating.places import MeasuredPlace
from tuner.runs.clock import Budget
from workers.jobs import BlockJob, BlockReport, TrialJob
from workers.protocol import Sample

ORT, OPENVINO, PACKAGE = OnnxRuntimeCpu(), OpenVinoRuntime(), CPackage()
WHOLE = {"onnxruntime-cpu": 2e-3, "openvino-runtime": 1e-3, "cpackage": 3e-3}
BORDER = {"openvino-runtime": 2e-4, "onnxruntime-cpu": 3e-4, "cpackage": 1e-5}


class Bordered(TimedExecutor):
    """Each half takes half of its engine's time, and the border what the second engine takes."""

    jobs: tuple[TrialJob, ...] = ()

    def run_block(self, device: str, job: BlockJob) -> BlockReport:
        self.jobs = job.members
        samples = {
            each.trial_id: Sample(_seconds(each.candidate), 10, 0.0, 0) for each in job.members
        }
        return BlockReport(0.0, samples, {}, {}, 1e-4)


def _seconds(candidate: Candidate) -> float:
    if not isinstance(candidate.engine, Pipeline):
        return WHOLE[candidate.engine.kind]
    first, second = (part.engine.kind for part in candidate.engine.parts)
    return (WHOLE[first] + WHOLE[second]) / 2 + BORDER[second]


def place(engine: OnnxRuntimeCpu | OpenVinoRuntime | CPackage) -> MeasuredPlace:
    return MeasuredPlace(CostPlace("cpu", engine.kind), Candidate(engine))


def bench(executor: TimedExecutor) -> Bench:
    return Bench(executor, load_profiles()["cpu"], Budget(60.0), lambda _: None)  # type: ignore[arg-type]


def test_every_two_engines_have_a_border_in_each_direction() -> None:
    found = crossings(bench(Bordered()), [place(ORT), place(OPENVINO), place(PACKAGE)])
    assert len(found) == 6
    by_ends = {(each.source, each.target): each.seconds for each in found}
    for (_, target), seconds in by_ends.items():
        assert seconds == pytest.approx(BORDER[target])


def test_a_split_has_half_of_the_operators_on_each_side() -> None:
    executor = Bordered()
    crossings(bench(executor), [place(ORT), place(OPENVINO)])
    engines = [job.candidate.engine for job in executor.jobs]
    splits = [engine for engine in engines if isinstance(engine, Pipeline)]
    operators = [node.name for node in halves_model().graph.node]
    for split in splits:
        first, second = split.parts
        assert (*first.operators, *second.operators) == tuple(operators)
        assert len(first.operators) == len(second.operators)
    threads = [part.engine for split in splits for part in split.parts]
    assert OnnxRuntimeCpu(spin_microseconds=20) in threads


def test_one_engine_has_no_border() -> None:
    assert crossings(bench(Bordered()), [place(ORT)]) == ()


def test_what_fails_is_noted_and_left_out() -> None:
    measuring = bench(TimedExecutor(broken=frozenset({"pipeline"})))
    assert crossings(measuring, [place(ORT), place(OPENVINO)]) == ()
    assert measuring.notes == ["A border in place cannot be measured: it does not start."]


def test_a_border_that_is_lost_in_the_noise_is_none() -> None:
    class Backwards(Bordered):
        def run_block(self, device: str, job: BlockJob) -> BlockReport:
            report = super().run_block(device, job)
            for each in job.members:
                if isinstance(each.candidate.engine, Pipeline):
                    report.samples[each.trial_id] = Sample(1e-6, 10, 0.0, 0)
            return report

    found = crossings(bench(Backwards()), [place(ORT), place(OPENVINO)])
    assert {each.seconds for each in found} == {Seconds(0.0)}
    assert Crossing("onnxruntime-cpu", "openvino-runtime", Seconds(0.0)) in found
