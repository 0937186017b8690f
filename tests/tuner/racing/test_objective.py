"""One number per candidate and block, and the limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from db.records import BlockSample
from farm.accuracy.result import AccuracyResult, Worst
from farm.candidate import (
    Candidate,
    CPackageEmulated,
    Engine,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeTensorRt,
    OnnxRuntimeWebGpu,
    OpenVinoRuntime,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.devices.energy import Work
from farm.devices.profile import PowerFigures
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.units import Bytes
from tuner.goals import Constraints, Objective
from tuner.racing.measured import measured_in_blocks
from tuner.racing.objective import Scorer
from tuner.runs.history import Entry

POWER = PowerFigures(10.0, 1e-9, {"float32": 4e-12, "int8": 1e-12}, "for this test")
WORK = Work(1_000_000, Bytes(1000), Bytes(200))
PLAIN = Candidate()
SAMPLE = BlockSample("t", 2e-3, 2e-3, 5, 0, 3 << 20)


def scorer(objective: Objective = Objective.LATENCY, power: PowerFigures | None = POWER) -> Scorer:
    return Scorer(objective, Constraints(), WORK, power)


def entry(candidate: Candidate = PLAIN, **values: float) -> Entry:
    measured = {Metric(k): Measurement(Metric(k), v, Method.MEASURED) for k, v in values.items()}
    return Entry("t", candidate, Outcome.OK, measurements=measured)


def test_scores() -> None:
    assert scorer().of_sample(entry(), SAMPLE) == 2e-3
    assert scorer(Objective.MEMORY).of_sample(entry(), SAMPLE) == 3 << 20
    joules = 10.0 * 2e-3 + 1e6 * 4e-12 + 1200 * 1e-9
    assert scorer(Objective.ENERGY).of_sample(entry(), SAMPLE) == pytest.approx(joules)


def test_processor_time_is_that_of_all_threads() -> None:
    sample = BlockSample("t", 2e-3, 3e-3, 5, 0)
    assert scorer(Objective.CPU).of_sample(entry(), sample) == 3e-3
    assert scorer(Objective.CPU).of_sample(entry(), replace(sample, cpu_seconds=0.0)) > 0
    counted = entry(Candidate(CPackageEmulated()))
    assert scorer(Objective.CPU).of_sample(counted, sample) == 2e-3, "one thread, always at work"
    assert scorer(Objective.CPU).quick(entry(latency=2e-3, cpu_seconds=4e-3)) == 4e-3


def test_a_limit_of_processor_time() -> None:
    limited = Scorer(Objective.LATENCY, Constraints(max_cpu=3e-3), WORK, POWER)
    assert limited.broken_limit(entry(latency=2e-3, cpu_seconds=3e-3), entry()) == ""
    told = "processor time 4.00 ms is above the limit of 3.00 ms"
    assert limited.broken_limit(entry(latency=2e-3, cpu_seconds=4e-3), entry()) == told
    slow = entry(Candidate(CPackageEmulated()), latency=4e-3)
    assert limited.broken_limit(slow, entry()) == told


def test_blocks_say_what_was_measured() -> None:
    samples = [BlockSample("t", i * 1e-3, i * 2e-3, 5, 0) for i in range(1, 16)]
    known = entry(latency=1.0)
    found = {m.metric: m for m in measured_in_blocks(known, samples)}
    assert found[Metric.LATENCY].value == 8e-3
    assert found[Metric.CPU_SECONDS].value == 16e-3
    assert len(found[Metric.CPU_SECONDS].samples) == 15
    low, high = found[Metric.CPU_SECONDS].low, found[Metric.CPU_SECONDS].high
    assert low is not None
    assert high is not None
    assert low < 16e-3 < high
    counted = entry(Candidate(CPackageEmulated()), latency=1.0)
    assert [m.metric for m in measured_in_blocks(counted, samples)] == [Metric.LATENCY]


def test_transfers_are_of_the_moment_of_the_latency_beside_them() -> None:
    """They were measured as a ratio, when the machine may have been faster."""
    samples = [replace(SAMPLE, seconds=each) for each in (2e-3, 3e-3, 4e-3)]
    known = entry(latency=1e-3, with_transfers=1.5e-3)
    found = {m.metric: m.value for m in measured_in_blocks(known, samples)}
    assert found[Metric.WITH_TRANSFERS] == pytest.approx(1.5 * found[Metric.LATENCY])
    assert Metric.WITH_TRANSFERS not in {
        m.metric for m in measured_in_blocks(entry(latency=1.0), samples)
    }


def test_quantised_arithmetic_costs_less() -> None:
    int8 = Candidate(precision=Precision(quantization=StaticInt8()))
    joules = 10.0 * 2e-3 + 1e6 * 1e-12 + 300 * 1e-9
    assert scorer(Objective.ENERGY).of_sample(entry(int8), SAMPLE) == pytest.approx(joules)


def test_no_memory_at_all_is_one_page() -> None:
    """A ratio needs two positive numbers."""
    nothing = BlockSample("t", 1.0, 1.0, 1, 0, None)
    assert scorer(Objective.MEMORY).of_sample(entry(), nothing) == 4096


def test_the_first_look() -> None:
    assert scorer().quick(entry(latency=3e-3)) == 3e-3
    assert scorer(Objective.MEMORY).quick(entry(latency=3e-3, peak_memory=8192.0)) == 8192
    assert scorer().quick(entry()) is None, "it never ran"


def test_energy_is_marked_as_modelled_or_unknown() -> None:
    found = scorer().energy_measurement(entry(), 1e-3)
    assert found is not None
    assert found.method is Method.MODELLED
    assert scorer(power=None).energy_measurement(entry(), 1e-3) is None


COUNTED = Scorer(Objective.ENERGY, Constraints(), WORK, POWER, energy_window=5.0)


def test_where_a_counter_tells_energy_nothing_is_modelled() -> None:
    assert COUNTED.of_sample(entry(), replace(SAMPLE, joules=3e-3)) == 3e-3
    assert COUNTED.of_sample(entry(), replace(SAMPLE, joules=-1e-3)) == -1e-3, "with its sign"
    assert COUNTED.quick(entry(latency=2e-3, energy=4e-3)) == 4e-3
    assert COUNTED.quick(entry(latency=2e-3)) is None
    limited = replace(COUNTED, constraints=Constraints(max_energy=1e-3))
    told = "measured energy 1.20 mJ is above the limit of 1.00 mJ"
    assert limited.broken_limit(entry(latency=1.0, energy=1.2e-3), entry()) == told
    assert limited.broken_limit(entry(latency=1.0, energy=1e-3), entry()) == ""


def test_energy_is_counted_only_where_it_decides() -> None:
    assert not replace(COUNTED, objective=Objective.LATENCY).counts_energy
    assert not scorer(Objective.ENERGY).counts_energy
    limits = Constraints(max_energy=1.0)
    assert replace(COUNTED, objective=Objective.LATENCY, constraints=limits).counts_energy


def test_blocks_say_what_a_counter_told() -> None:
    samples = [replace(SAMPLE, joules=i * 1e-3, energy_window=5.0, idle_watts=40.0 + i)
               for i in range(1, 16)]  # fmt: skip
    found = {m.metric: m for m in measured_in_blocks(entry(latency=1.0), samples)}
    assert found[Metric.ENERGY].value == 8e-3
    assert found[Metric.ENERGY].method is Method.MEASURED
    assert found[Metric.ENERGY].low is not None
    assert found[Metric.ENERGY_WINDOW].value == 5.0
    assert found[Metric.IDLE_POWER].value == 48.0


SPLIT = Pipeline(
    (
        PipelinePart("gpu", OnnxRuntimeCuda(), ("a",)),
        PipelinePart("cpu", OnnxRuntimeCpu(), ("b",)),
    )
)


@pytest.mark.parametrize(
    "engine",
    [
        SPLIT,
        OnnxRuntimeWebGpu(on_cpu=("a",)),
        OnnxRuntimeCuda(cpu_operators=True),
        OnnxRuntimeTensorRt(cpu_operators=True),
    ],
)
def test_the_figures_of_one_device_tell_no_energy_of_several(engine: Engine) -> None:
    split = entry(Candidate(engine), latency=1e-3)
    assert scorer().energy_measurement(split, 1e-3) is None
    assert scorer().broken_limit(split, entry()) == ""
    told = "its energy is unknown: it runs on several devices, and the figures are of one"
    assert scorer(Objective.ENERGY).broken_limit(split, entry()) == told
    limits = Constraints(max_energy=1.0)
    assert Scorer(Objective.LATENCY, limits, WORK, POWER).broken_limit(split, entry()) == told
    told = "its energy is unknown: it runs on several devices, and the counter is of one"
    assert COUNTED.broken_limit(split, entry()) == told


def test_two_engines_of_one_device_have_its_energy() -> None:
    parts = (
        PipelinePart("cpu", OnnxRuntimeCpu(), ("a",)),
        PipelinePart("cpu", OpenVinoRuntime(), ("b",)),
    )
    assert scorer().energy_measurement(entry(Candidate(Pipeline(parts))), 1e-3) is not None


def test_a_better_accuracy_breaks_nothing() -> None:
    assert scorer().broken_limit(entry(accuracy=0.99), entry(accuracy=0.9)) == ""


def test_an_unknown_accuracy_breaks_nothing() -> None:
    assert scorer().broken_limit(entry(), entry(accuracy=0.9)) == ""


def test_limits_are_inclusive() -> None:
    limits = Constraints(0.01, max_memory=4096, max_latency=1e-3)
    at_limits = entry(latency=1e-3, peak_memory=4096.0)
    assert Scorer(Objective.LATENCY, limits, WORK, POWER).broken_limit(at_limits, entry()) == ""


INT8 = Candidate(precision=Precision(quantization=StaticInt8()))
UNJUDGED = AccuracyResult("agreement", None, 26, notes=("Output 'y' is NaN.",))


def judged(result: AccuracyResult, candidate: Candidate = INT8) -> Entry:
    found = entry(candidate) if result.value is None else entry(candidate, accuracy=result.value)
    found.accuracy = result
    return found


def test_what_cannot_be_judged_may_not_change_the_precision() -> None:
    original = judged(UNJUDGED, PLAIN)
    assert scorer().broken_limit(judged(UNJUDGED, PLAIN), original) == ""
    assert scorer().broken_limit(judged(UNJUDGED), original) == (
        "its accuracy cannot be judged, and only candidates of the model's own precision may win "
        "then; --allow-unjudged lifts that"
    )


CONSTANT = "Output 'y' is the same in all 26 samples."


def test_another_constant_than_the_models_is_wrong() -> None:
    """A constant output says nothing of a candidate, unless the candidate gives another one."""
    original = judged(AccuracyResult("agreement", None, 26, notes=(CONSTANT,)), PLAIN)
    other = AccuracyResult("agreement", 0.5, 26, notes=(CONSTANT,))
    assert scorer().broken_limit(judged(other), original) == (
        "accuracy 0.5000 is 0.5000 below the baseline's 1.0000; the limit is 0.05"
    )
    assert scorer().broken_limit(judged(other, PLAIN), original), "also in the model's precision"


def test_what_is_nearly_the_constant_cannot_be_judged() -> None:
    original = judged(AccuracyResult("agreement", None, 26, notes=(CONSTANT,)), PLAIN)
    near = AccuracyResult("agreement", 0.98, 26, notes=(CONSTANT,))
    assert "its accuracy cannot be judged" in scorer().broken_limit(judged(near), original)
    assert scorer().broken_limit(judged(near, PLAIN), original) == ""


def test_unless_the_user_allows_it() -> None:
    lenient = Scorer(Objective.LATENCY, Constraints(allow_unjudged=True), WORK, POWER)
    assert lenient.broken_limit(judged(UNJUDGED), judged(UNJUDGED, PLAIN)) == ""


def test_the_limit_is_the_metrics_own_unless_one_is_given() -> None:
    worst = Worst("y", 1, 3, 0.96, 26)
    agreement, top1 = (AccuracyResult(m, 0.96, 26, worst=worst) for m in ("agreement", "top1"))
    baseline = entry(accuracy=1.0)
    assert scorer().broken_limit(judged(agreement), baseline) == ""
    assert (
        scorer()
        .broken_limit(judged(top1), baseline)
        .endswith("(worst: 'y', channel 3 of axis 1: 0.9600); the limit is 0.01")
    )
    strict = Scorer(Objective.LATENCY, Constraints(max_accuracy_drop=0.03), WORK, POWER)
    assert strict.broken_limit(judged(agreement), baseline).endswith("the limit is 0.03")
