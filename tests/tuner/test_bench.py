"""Measuring candidates side by side, and comparing what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from db.records import Phase, RunKind, RunStatus
from db.store import Store
from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    Fake,
    GraphLevel,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeGpu,
    OnnxRuntimeTensorRt,
    OnnxRuntimeWebGpu,
    OpenVino,
    Pipeline,
    PipelinePart,
)
from farm.devices.profile import load_profiles
from farm.errors import CandidateError, DeviceError, InfrastructureError, NotInStore, OptionError
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.session.of_candidate import session_spec
from farm.session.spec import SessionSpec
from tests.conftest import furnish
from tests.qnn import QUANTISED
from tests.tuner.imagined import ImaginedExecutor, Traits, fakes
from tuner.bench import (
    BLOCKS,
    Benchmark,
    bench,
    check_device,
    check_threads,
    compare_measured,
    compare_recorded,
    measured_by_block,
    recall,
)
from tuner.goals import Objective
from tuner.learning.candidates.rows import tried_in
from tuner.racing.objective import METRICS
from tuner.request import TuneRequest
from tuner.runs.start import check_model, check_request, start_run
from workers.trials.process import ChildError

PROFILES = load_profiles()
FAST, SLOW = fakes(0.5, 1.5)


@pytest.fixture
def empty() -> Iterator[Store]:
    with Store.open(":memory:") as store:
        yield store


@pytest.mark.parametrize("engine", [OnnxRuntimeCpu(), OpenVino(threads=3)])
def test_candidates_beyond_the_limit_of_threads(engine: OnnxRuntimeCpu | OpenVino) -> None:
    request = TuneRequest("/m.onnx", ("cpu",), threads=2)
    with pytest.raises(OptionError, match="and --threads allows 2"):
        check_threads(request, [Candidate(engine)])
    check_threads(replace(request, threads=0), [Candidate(engine)])
    check_threads(request, [Candidate(replace(engine, threads=2)), Candidate(CPackage())])


@pytest.mark.parametrize("engine", [OnnxRuntimeCuda, OnnxRuntimeTensorRt, OnnxRuntimeWebGpu])
def test_what_runs_beside_a_gpu_is_held_to_the_limit_of_threads(
    engine: type[OnnxRuntimeGpu],
) -> None:
    request = TuneRequest("/m.onnx", ("gpu",), threads=2)
    mixed = engine(cpu_operators=True)
    with pytest.raises(OptionError, match=r"has no limit of threads, .* Change its `cpu_threads`"):
        check_threads(request, [Candidate(mixed)])
    limited = replace(mixed, cpu_threads=2)
    check_threads(request, [Candidate(engine()), Candidate(limited)])
    session = session_spec(Candidate(limited))
    assert isinstance(session, SessionSpec)
    assert session.intra_op_num_threads == 2
    assert " + onnxruntime-cpu 2 threads" in Candidate(limited).label()


def test_operators_that_the_processor_is_given_are_held_to_it() -> None:
    request = TuneRequest("/m.onnx", ("gpu",), threads=1)
    with pytest.raises(OptionError, match="has no limit of threads"):
        check_threads(request, [Candidate(OnnxRuntimeWebGpu(on_cpu=("a",)))])
    check_threads(request, [Candidate(OnnxRuntimeWebGpu(on_cpu=("a",), cpu_threads=1))])


def test_callers_beyond_the_limit_of_threads() -> None:
    request = TuneRequest("/m.onnx", ("cpu",), threads=2)
    two = Candidate(OnnxRuntimeCpu(threads=1), callers=2)
    check_threads(request, [two])
    told = "The candidate has 2 callers with 2 threads each, and --threads allows 2"
    with pytest.raises(OptionError, match=told):
        check_threads(request, [replace(two, engine=OnnxRuntimeCpu(threads=2))])
    with pytest.raises(OptionError, match="3 callers with 1 thread each"):
        check_threads(request, [Candidate(CPackage(), callers=3)])


_PARTS = (
    PipelinePart("dsp", CPackageEmulated(), ("a",)),
    PipelinePart("cpu", OnnxRuntimeCpu(threads=3), ("b",)),
)


def test_parts_of_a_pipeline_are_held_to_the_limit_of_threads() -> None:
    request = TuneRequest("/m.onnx", ("cpu",), threads=2)
    with pytest.raises(OptionError, match="engine onnxruntime-cpu has 3 threads, and --threads"):
        check_threads(request, [Candidate(Pipeline(_PARTS))])


def test_overlapped_parts_have_their_threads_together() -> None:
    parts = tuple(replace(_PARTS[1], engine=OnnxRuntimeCpu(threads=n)) for n in (1, 2))
    request = TuneRequest("/m.onnx", ("cpu",), threads=2)
    check_threads(request, [Candidate(Pipeline(parts))])
    with pytest.raises(OptionError, match="overlapped parts have 3 threads together, and --thr"):
        check_threads(request, [Candidate(Pipeline(parts, overlapped=True))])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (replace(_PARTS[0], device="dps"), "Unknown device 'dps'. Did you mean dsp"),
        (
            replace(_PARTS[0], device="cpu"),
            "Device cpu has no engine 'cpackage-emulated', which a",
        ),
        (
            replace(_PARTS[1], device="gpu"),
            "Device gpu has no engine 'onnxruntime-cpu', which a p",
        ),
    ],
)
def test_the_device_of_each_part_must_have_its_engine(part: PipelinePart, message: str) -> None:
    with pytest.raises(DeviceError) as caught:
        check_device(PROFILES["cpu"], [Candidate(Pipeline((part,)))], PROFILES)
    assert str(caught.value).startswith(message)


def measure(
    store: Store,
    folder: Path,
    executor: ImaginedExecutor,
    *candidates: Candidate,
    objective: Objective = Objective.LATENCY,
    output: str = "",
) -> tuple[Benchmark, ...]:
    furnish(folder)
    model = str(folder / "model.onnx")
    request = TuneRequest(model, ("fake",), objective=objective, output=output)
    opened = start_run(store, check_request(request, PROFILES), RunKind.BENCH)
    return bench(store, executor, opened, PROFILES["fake"], candidates, lambda _: None)  # type: ignore[arg-type]


def test_without_candidates_the_baseline_is_measured(empty: Store, tmp_path: Path) -> None:
    (measured,) = measure(empty, tmp_path, ImaginedExecutor())
    assert measured.candidate == Candidate(Fake())
    latency = measured.measurements[Metric.LATENCY]
    assert latency.value == pytest.approx(1e-3, rel=0.01)
    assert len(latency.samples) == BLOCKS
    assert latency.low is not None
    assert {Metric.THROUGHPUT, Metric.ENERGY, Metric.LATENCY_P50} <= set(measured.measurements)
    run = empty.run(measured.run)
    assert (run.kind, run.status) == (RunKind.BENCH, RunStatus.FINISHED)
    assert empty.trial(measured.trial_id).phase is Phase.BENCH


def test_a_part_on_a_device_in_software_says_so(tmp_path: Path) -> None:
    furnish(tmp_path)
    request = TuneRequest(str(tmp_path / "model.onnx"), ("cpu",))
    checked = check_request(request, PROFILES)
    parts = (
        PipelinePart("gpu-software", OnnxRuntimeWebGpu(), ("a",)),
        PipelinePart("cpu", OnnxRuntimeCpu(), ("b",)),
        PipelinePart("gpu-software", OnnxRuntimeWebGpu(), ("c",)),
    )
    caveat = PROFILES["gpu-software"].caveat
    assert caveat
    assert checked.caveats(PROFILES["cpu"], Candidate(Pipeline(parts))) == (caveat,)
    assert checked.caveats(PROFILES["gpu-software"], Candidate(Pipeline(parts))) == (caveat,)
    assert checked.caveats(PROFILES["cpu"], Candidate(OnnxRuntimeCpu())) == ()


def test_what_is_benched_on_a_device_in_software_says_so(empty: Store, tmp_path: Path) -> None:
    furnish(tmp_path)
    software = replace(PROFILES["fake"], is_software=True)
    request = TuneRequest(str(tmp_path / "model.onnx"), ("fake",))
    opened = start_run(empty, check_request(request, {"fake": software}), RunKind.BENCH)
    executor = ImaginedExecutor()
    (measured,) = bench(empty, executor, opened, software, [FAST], lambda _: None)  # type: ignore[arg-type]
    assert measured.notes == (software.caveat,)


def test_a_baseline_that_fails_is_measured_at_a_lower_graph_level(
    empty: Store, tmp_path: Path
) -> None:
    failing = Traits(outcome=Outcome.RUN_ERROR, message="no fusion of Clip.")
    executor = ImaginedExecutor({Candidate(OnnxRuntimeCpu()): failing})
    executor.engines = ("onnxruntime-cpu",)
    (measured,) = measure(empty, tmp_path, executor)
    assert measured.candidate == Candidate(OnnxRuntimeCpu(graph_level=GraphLevel.BASIC))
    (note,) = measured.notes
    assert note == (
        "onnxruntime-cpu float32 cannot be run, and onnxruntime-cpu graph=basic float32 takes its "
        "place: no fusion of Clip."
    )


def test_two_are_compared_side_by_side(empty: Store, tmp_path: Path) -> None:
    slow, fast = measure(empty, tmp_path, ImaginedExecutor(), SLOW, FAST)
    found = compare_measured(slow, fast)
    assert found.ratio.value == pytest.approx(3.0, rel=0.01)
    assert found.pairs == BLOCKS
    recorded = compare_recorded(empty, empty.trial(slow.trial_id), empty.trial(fast.trial_id))
    assert recorded == found, "from the store, the same"
    turned = compare_recorded(empty, empty.trial(fast.trial_id), empty.trial(slow.trial_id))
    assert turned.ratio.value == pytest.approx(1 / 3, rel=0.01)


@pytest.mark.parametrize(
    ("objective", "ratio"),
    [
        (Objective.THROUGHPUT, 6.0),
        (Objective.P99, 4.0),
        (Objective.LOAD, 2.0),
        (Objective.CPU, 5.0),
    ],
)
def test_objectives_are_compared_by_block(
    empty: Store, tmp_path: Path, objective: Objective, ratio: float
) -> None:
    other = replace(FAST, callers=2)
    executor = ImaginedExecutor(
        {
            SLOW: Traits(1.5e-3, longest=4e-3, load=0.2, cpu=5e-3),
            other: Traits(0.5e-3, longest=1e-3, load=0.1, cpu=1e-3),
        }
    )
    slow, fast = measure(empty, tmp_path, executor, SLOW, other, objective=objective)
    metric = METRICS[objective]
    assert metric in measured_by_block(fast)
    found = compare_measured(slow, fast, metric)
    assert found.pairs == BLOCKS
    assert found.ratio.value == pytest.approx(ratio, rel=0.01)
    assert found.ratio.low < ratio < found.ratio.high


def test_counted_energy_is_compared_though_a_block_is_below_nothing() -> None:
    def measured(*joules: float) -> Benchmark:
        energy = Measurement(Metric.ENERGY, joules[0], Method.MEASURED, samples=joules)
        return Benchmark("run", "fake", "trial", FAST, {Metric.ENERGY: energy})

    slow = measured(11.0, 10.4, 11.3, 10.8, 11.1, 10.9, 11.4, 10.6)
    found = compare_measured(
        slow, measured(1.0, 0.0, -0.2, 1.3, 0.8, 1.4, 0.9, 1.1), Metric.ENERGY
    )
    assert 6.0 < found.ratio.low < 11.0 < found.ratio.high < 50.0
    assert found.p_value < 0.01


def test_what_did_not_run_side_by_side_is_not_compared(empty: Store, tmp_path: Path) -> None:
    (slow,) = measure(empty, tmp_path, ImaginedExecutor(), SLOW)
    (fast,) = measure(empty, tmp_path, ImaginedExecutor(), FAST)
    with pytest.raises(OptionError, match="side by side in 0 blocks, and 8 are needed"):
        compare_recorded(empty, empty.trial(slow.trial_id), empty.trial(fast.trial_id))


@pytest.mark.parametrize(
    ("traits", "error", "words"),
    [
        (Traits(outcome=Outcome.COMPILE_ERROR), InfrastructureError, "compile-error"),
        (Traits(fails_in_block=3), InfrastructureError, "it leaked"),
        (Traits(fails_in_detail=True), ChildError, "it fell"),
    ],
)
def test_what_cannot_be_measured_says_why(
    empty: Store, tmp_path: Path, traits: Traits, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        measure(empty, tmp_path, ImaginedExecutor({FAST: traits}), FAST)
    (run,) = empty.runs()
    assert run.status is RunStatus.FAILED


def test_a_trial_is_recalled_by_the_beginning_of_its_id(empty: Store, tmp_path: Path) -> None:
    (measured,) = measure(empty, tmp_path, ImaginedExecutor(), FAST)
    recalled = recall(empty, measured.trial_id[:6])
    assert recalled.candidate == FAST
    assert recalled.request.model == str(tmp_path / "model.onnx")
    checked = check_request(recalled.request, PROFILES)
    check_model(checked, recalled.model_sha256, "It")
    with pytest.raises(OptionError, match=r"^It: .* is not the model"):
        check_model(checked, "0" * 64, "It")
    with pytest.raises(NotInStore):
        recall(empty, "nobody")


def test_what_was_delivered_then_is_not_delivered_again(empty: Store, tmp_path: Path) -> None:
    (measured,) = measure(empty, tmp_path, ImaginedExecutor(), FAST, output=str(tmp_path / "out"))
    assert recall(empty, measured.trial_id).request.output == ""


def test_what_has_no_latency_runs_in_no_block_and_teaches_nothing(
    empty: Store, tmp_path: Path
) -> None:
    measured, beside = measure(empty, tmp_path, ImaginedExecutor(), QUANTISED, FAST)
    for note in measured.notes, beside.notes:
        assert any("latency, memory and energy are unknown" in n for n in note) is (
            note is measured.notes
        )
    ran = {s.trial_id for b in empty.blocks(measured.run, "fake") for s in b.samples}
    assert ran == {beside.trial_id}
    trials = empty.trial(measured.trial_id), empty.trial(beside.trial_id)
    learnt = tried_in(empty, "fake", trials[0].machine_id)
    assert QUANTISED not in {each.candidate for each in learnt}
    with pytest.raises(CandidateError, match=r"^The latency of onnxruntime-qnn SM8650 .* is unkn"):
        compare_recorded(empty, *trials)


def test_a_device_must_be_there_and_have_the_engine() -> None:
    check_device(PROFILES["fake"], [FAST])
    with pytest.raises(DeviceError, match="fake has no engine 'onnxruntime-cpu'"):
        check_device(PROFILES["fake"], [Candidate(OnnxRuntimeCpu())])
    with pytest.raises(DeviceError, match=r"Device gpu cannot be measured here: .*Remedy: "):
        check_device(PROFILES["gpu"], [])


@pytest.mark.usefixtures("emulator")
def test_beside_a_split_the_whole_model_may_run_where_a_part_does() -> None:
    hvx = CPackageEmulated(target="hexagon-v67-hvx")
    parts = PipelinePart("dsp", hvx, ("a",)), PipelinePart("cpu", OnnxRuntimeCpu(), ("b",))
    baseline = Candidate(OnnxRuntimeCpu())
    check_device(PROFILES["dsp"], [baseline, Candidate(Pipeline(parts))], PROFILES)
    with pytest.raises(DeviceError, match="Device dsp has no engine 'onnxruntime-cpu'"):
        check_device(PROFILES["dsp"], [baseline], PROFILES)
