"""What is learnt of whole candidates: from rows of made-up models to predictions and states."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from db.questions.learning import WholeTrial
from farm.candidate import (
    Candidate,
    CPackage,
    DynamicInt8,
    FloatType,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    OpenVino,
    OpenVinoRuntime,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.costs.calibration import Calibration, Crossing, Ends, PlaceConstants
from farm.costs.families import Family
from farm.costs.operators import CostedOperator, Operand
from farm.costs.roofline import Level, Roof, Roofline
from farm.devices.profile import load_profiles
from farm.errors import DeviceError, StoreError
from farm.measurement import Method, Outcome
from farm.prediction import Basis
from farm.units import Bytes, Seconds
from tests.tuner.learning.kernels.values import CACHES, convolution, law, law_rows, row
from tuner.learning.candidates.estimate import Estimator
from tuner.learning.candidates.features import (
    OF_SECONDS,
    Encoder,
    choices,
    columns,
    row_of,
)
from tuner.learning.candidates.memory import EngineMemory, Sizes, sizes_of
from tuner.learning.candidates.models import ENERGY, LATENCY, CandidateModels
from tuner.learning.candidates.quantity import Quantity
from tuner.learning.candidates.rows import Tried, chosen
from tuner.learning.candidates.stored import report_of
from tuner.learning.kernels.costs import learn_kernels
from tuner.learning.predictor import LearnedPredictor
from tuner.learning.values import Subject

CPU = next(p for p in load_profiles().values() if p.name == "cpu")
ORT, TWO, OV = OnnxRuntimeCpu(threads=1), OnnxRuntimeCpu(threads=2), OpenVinoRuntime(threads=1)
INT8 = Precision(quantization=StaticInt8())
CANDIDATES = (Candidate(ORT), Candidate(TWO), Candidate(ORT, INT8), Candidate(OV))


def place(engine: str, precision: str, per_flop: float) -> PlaceConstants:
    roof = Roof(Seconds(1e-6), Seconds(per_flop), 1.0, 0.2, 50)
    roofline = Roofline((Level(math.inf, 1e10),), roof)
    return PlaceConstants(engine, precision, engine, Method.MEASURED, roofline, (), ())


def end(engine: str) -> Ends:
    return Ends(engine, "float32", Method.MEASURED, Seconds(5e-6), Seconds(1e-6), 0.0, 0.0, 0.0)


CALIBRATIONS = {
    "cpu": Calibration(
        "cpu",
        (
            place("onnxruntime-cpu", "float32", 1e-11),
            place("onnxruntime-cpu", "int8", 4e-12),
            place("openvino-runtime", "float32", 8e-12),
        ),
        (end("onnxruntime-cpu"), end("openvino-runtime")),
        (Crossing("onnxruntime-cpu", "openvino-runtime", Seconds(7e-5)),),
    )
}


def operator(name: str, read: str, written: str, flops: int, size: int) -> CostedOperator:
    def operand(of: str, *, stored: bool = False) -> Operand:
        return Operand(of, 4 * size, size, True, stored)

    reads = (operand(read), operand(f"{name}.w", stored=True))
    return CostedOperator(
        name, "Conv", Family.CONVOLUTION, name, flops, reads, (operand(written),)
    )


def subject(number: int) -> Subject:
    size, depth = 500 * (1 + number), 3 + number % 4
    operators = tuple(
        operator(f"op{i}", f"t{i}", f"t{i + 1}", 2_000_000 * (1 + number), size)
        for i in range(depth)
    )
    return Subject(
        f"model{number}", operators, sum(o.flops for o in operators) // 2,
        Bytes(4 * size * depth), Bytes(4 * size * (depth + 1)),
    )  # fmt: skip


FACTORS = {0: 1.5, 1: 0.8, 2: 2.0, 3: 1.1}  # measured over estimated, of each candidate


def tried(models: Sequence[int], *, machine: float = 1.0) -> Iterator[Tried]:
    """Candidates whose latency is a fixed multiple of the estimate; machine: how slow it is."""
    estimator = Estimator("cpu", CALIBRATIONS)
    random = np.random.default_rng(3)
    for number in models:
        of = subject(number)
        for at, candidate in enumerate(CANDIDATES):
            seconds = FACTORS[at] * estimator.estimate(of, candidate).seconds * machine
            seconds *= math.exp(0.02 * random.normal())
            peak = 2e7 + 2.0 * of.weight_bytes
            trial = WholeTrial(
                f"{number}-{at}", of.sha256, candidate.id, Outcome.OK, 10, seconds,
                1e-4 * machine, 2.0 * seconds, peak, None, None,
            )  # fmt: skip
            yield Tried(f"m{number}", of, candidate, trial)


@pytest.fixture(scope="module")
def models() -> CandidateModels:
    rows = [*tried(range(8)), *tried(range(8, 12), machine=3.0)]
    return CandidateModels.fit(rows, Estimator("cpu", CALIBRATIONS))


def predictor(models: CandidateModels) -> LearnedPredictor:
    return LearnedPredictor(CPU, Estimator("cpu", CALIBRATIONS), models)


def test_models_that_were_not_seen_are_predicted_for_a_quiet_machine(
    models: CandidateModels,
) -> None:
    found = predictor(models).predict(subject(13), CANDIDATES)
    truth = list(tried([13]))
    for said, was in zip(found, truth, strict=True):
        assert said.latency.basis is Basis.LEARNED
        assert said.latency.value == pytest.approx(was.trial.seconds, rel=0.15)
        assert said.latency.low < (was.trial.seconds or 0.0) < said.latency.high
        assert said.cpu_seconds.value == pytest.approx(2 * said.latency.value, rel=0.2)
        assert said.peak_memory.value == pytest.approx(was.trial.peak_bytes, rel=0.05)
        assert (said.latency.unit, said.peak_memory.unit) == ("s", "B")
        assert said.energy is not None  # by the profile's figures
        assert said.energy.low < said.energy.value < said.energy.high


def test_energy_is_what_was_learnt_of_a_counter_and_not_that_of_figures() -> None:
    rows = [
        replace(t, trial=replace(t.trial, joules=40.0 * (t.trial.seconds or 0.0)))
        for t in tried(range(12))
    ]
    learnt = predictor(CandidateModels.fit(rows, Estimator("cpu", CALIBRATIONS)))
    (said,) = learnt.predict(subject(13), CANDIDATES[:1])
    assert said.energy is not None
    assert said.energy.basis is Basis.LEARNED
    assert said.energy.value == pytest.approx(40.0 * said.latency.value, rel=0.2)
    bare = replace(learnt, profile=replace(CPU, power=None))
    assert bare.predict(subject(13), CANDIDATES[:1])[0].energy == said.energy


def test_energy_that_no_counter_told_is_not_learnt_from() -> None:
    """Stores of before hold it as 0; so many rows of it are no rows."""
    rows = [replace(t, trial=replace(t.trial, joules=0.0)) for t in tried(range(12))]
    assert ENERGY not in CandidateModels.fit(rows, Estimator("cpu", CALIBRATIONS)).quantities


def test_a_candidate_that_was_tried_is_told_as_it_was_measured(models: CandidateModels) -> None:
    (row,) = [t for t in tried([9], machine=3.0) if t.candidate == CANDIDATES[0]]
    known = replace(predictor(models), known=lambda _: {row.candidate.id: row})
    (said, other) = known.predict(row.subject, CANDIDATES[:2])
    assert said.latency.basis is Basis.MEASURED
    assert said.latency.value == pytest.approx((row.trial.seconds or 0.0) / 3.0)
    assert other.latency.basis is Basis.LEARNED


def test_state_gives_the_same_predictions(models: CandidateModels) -> None:
    again = CandidateModels.of_state(models.state())
    asked = subject(13), CANDIDATES
    assert predictor(again).predict(*asked) == predictor(models).predict(*asked)
    assert again.quantities[LATENCY].quality is not None


def test_state_of_something_else_is_refused() -> None:
    with pytest.raises(StoreError, match="cost model of whole candidates"):
        CandidateModels.of_state(b"nothing")


def test_report_says_how_good_each_quantity_is(models: CandidateModels) -> None:
    report = report_of(models)
    latency = report.of(LATENCY)
    assert latency is not None
    assert latency.is_used
    assert latency.error < 0.1 < latency.roofline_error
    assert len(report.held_out) == 48


def test_fewer_than_three_models_teach_an_offset_alone() -> None:
    models = CandidateModels.fit(list(tried([1])), Estimator("cpu", CALIBRATIONS))
    (said,) = predictor(models).predict(subject(1), CANDIDATES[:1])
    assert said.latency.basis is Basis.ROOFLINE
    assert said.latency.low < said.latency.value / 2


def test_no_rows_leave_the_sum_of_kernels() -> None:
    models = CandidateModels.fit([], Estimator("cpu", CALIBRATIONS))
    (said,) = predictor(models).predict(subject(1), CANDIDATES[:1])
    estimate = Estimator("cpu", CALIBRATIONS).estimate(subject(1), CANDIDATES[0])
    assert said.latency.value == pytest.approx(estimate.seconds)
    assert (said.latency.basis, said.latency.rows, said.failure) == (Basis.ROOFLINE, 0, 0.0)


def test_what_fails_is_told_by_what_failed_alike() -> None:
    rows = list(tried(range(8)))
    rows = [
        replace(t, trial=replace(t.trial, outcome=Outcome.RUN_ERROR, seconds=None))
        if t.candidate.engine == OV
        else t
        for t in rows
    ]
    models = CandidateModels.fit(rows, Estimator("cpu", CALIBRATIONS))
    ort, *_, openvino = predictor(models).predict(subject(13), CANDIDATES)
    assert ort.failure < 0.15
    assert openvino.failure > 0.6


def test_a_process_that_is_no_better_is_not_used() -> None:
    random = np.random.default_rng(1)
    inputs = np.column_stack([random.normal(size=(60, 14)), np.zeros((60, 8))])
    simple = random.normal(size=60)
    targets = simple + 0.3 * random.normal(size=60)
    found = Quantity.fit(inputs, targets, simple, [str(i % 10) for i in range(60)], OF_SECONDS)
    assert found.quality is not None
    assert not found.is_learned or found.quality.error <= found.quality.simple * 1.05
    assert found.predict(inputs[:1], simple[:1]).middle[0] == pytest.approx(simple[0], abs=0.3)


def test_int8_is_priced_where_it_computes_in_integers() -> None:
    estimator = Estimator("cpu", CALIBRATIONS)
    of = subject(3)
    kept = StaticInt8(keep_float=tuple(op.name for op in of.operators))
    whole = estimator.estimate(of, Candidate(ORT, INT8)).seconds
    floats = estimator.estimate(of, Candidate(ORT)).seconds
    assert whole < floats
    assert estimator.estimate(of, Candidate(ORT, Precision(quantization=kept))).seconds == (
        pytest.approx(floats)
    )
    dynamic = Candidate(ORT, Precision(quantization=DynamicInt8()))
    assert estimator.estimate(of, dynamic).seconds == pytest.approx(floats)  # it has no products


def test_threads_are_those_of_the_nearest_calibration() -> None:
    whole = CALIBRATIONS["cpu"]
    slow = replace(whole, places=tuple(place(p.engine, p.precision, 4e-11) for p in whole.places))
    estimator = Estimator("cpu", CALIBRATIONS, {1: slow}, cores=8)
    of = subject(3)

    def seconds(threads: int) -> float:
        return estimator.estimate(of, Candidate(OnnxRuntimeCpu(threads=threads))).seconds

    assert seconds(1) == seconds(2) > seconds(0)
    assert seconds(4) == seconds(8) == seconds(16) == seconds(0)


def test_data_stays_on_a_gpu_but_for_parts() -> None:
    engine, of = OnnxRuntimeWebGpu(), subject(1)
    own = Calibration("gpu", (place(engine.kind, "float32", 1e-11),), (end(engine.kind),))
    estimator = Estimator("gpu", {"gpu": own, **CALIBRATIONS})
    whole = estimator.estimate(of, Candidate(engine))
    names = tuple(op.name for op in of.operators)
    part = Candidate(Pipeline((PipelinePart("gpu", engine, names),)))
    assert whole.calls == pytest.approx(5e-6)
    assert estimator.estimate(of, part).calls == pytest.approx(7e-6)
    assert Estimator("cpu", CALIBRATIONS).estimate(of, Candidate(ORT)).calls == pytest.approx(7e-6)


def test_kernels_that_were_learnt_go_before_the_roofline() -> None:
    rows = [replace(each, is_probe=True) for each in law_rows(6, 20)]
    kernels = learn_kernels("cpu", rows, CACHES)
    op = convolution(24, 40, 16)
    of = replace(subject(1), operators=(op,))
    found = Estimator("cpu", CALIBRATIONS, kernels=kernels).estimate(of, Candidate(TWO))
    assert found.basis is Basis.LEARNED
    assert found.families[Family.CONVOLUTION] == pytest.approx(law(op), rel=0.3)
    int8 = Estimator("cpu", CALIBRATIONS, kernels=kernels).estimate(of, Candidate(ORT, INT8))
    assert int8.basis is Basis.ROOFLINE


def test_a_model_is_estimated_as_if_its_kernels_had_never_been_seen() -> None:
    """It takes ten times what others of its kind do; who learns from it must not know that."""
    rows = law_rows(8, 60)
    odd = [row("odd", each.operators[0], 10 * each.seconds) for each in law_rows(1, 30, seed=1)]
    op = odd[0].operators[0]
    kernels = learn_kernels("cpu", [*rows, *odd], CACHES)
    of = replace(subject(1), sha256="odd", operators=(op,))
    estimator = Estimator("cpu", CALIBRATIONS, kernels=kernels)
    seen = estimator.estimate(of, Candidate(TWO)).families[Family.CONVOLUTION]
    unseen = estimator.estimate(of, Candidate(TWO), unseen=True).families[Family.CONVOLUTION]
    assert unseen == pytest.approx(law(op), rel=0.3)
    assert seen > 1.5 * unseen


def test_an_engine_without_constants_is_like_its_nearest() -> None:
    estimator = Estimator("cpu", CALIBRATIONS)
    of = subject(2)
    assert estimator.estimate(of, Candidate(OpenVino())) == estimator.estimate(of, Candidate(OV))
    with pytest.raises(DeviceError, match="knows nothing of cpackage"):
        estimator.estimate(of, Candidate(CPackage()))
    with pytest.raises(DeviceError, match="farm devices calibrate gpu"):
        Estimator("gpu", CALIBRATIONS).estimate(of, Candidate(ORT))


def test_a_pipeline_pays_for_its_borders() -> None:
    estimator = Estimator("cpu", CALIBRATIONS)
    of = subject(2)
    names = tuple(op.name for op in of.operators)
    parts = (PipelinePart("cpu", ORT, names[:2]), PipelinePart("cpu", OV, names[2:]))
    split = estimator.estimate(of, Candidate(Pipeline(parts)))
    alone = estimator.estimate(of, Candidate(ORT))
    assert split.kernels == alone.kernels
    assert split.calls > alone.calls + 7e-5


def test_rows_are_of_all_models_alike() -> None:
    rows = [*tried([1]), *tried([2])]
    kept = chosen([*rows, rows[0]], most=3)
    assert [t.subject.sha256 for t in kept] == ["model1", "model2", "model1"]


def test_live_bytes_are_those_of_one_step() -> None:
    of = subject(0)
    assert sizes_of(of) == Sizes(of.weight_bytes, Bytes(0), Bytes(2 * 4 * 500), 3)


def test_memory_is_a_process_with_weights() -> None:
    rows = [(t.subject, t.candidate, t.trial.peak_bytes or 0.0) for t in tried(range(8))]
    found = EngineMemory.fit(rows)
    taken = found.bytes_of(Sizes(Bytes(10_000_000), Bytes(0), Bytes(0), 0), Candidate(ORT))
    assert taken == pytest.approx(2e7 + 2e7, rel=0.02)
    assert (
        EngineMemory(()).bytes_of(Sizes(Bytes(0), Bytes(0), Bytes(0), 0), Candidate(ORT))
        == 1 << 20
    )


def test_choices_tell_candidates_apart() -> None:
    others = [
        *CANDIDATES,
        Candidate(CPackage()),
        Candidate(OnnxRuntimeCpu(threads=1, spinning=False)),
        Candidate(OnnxRuntimeCpu(threads=1, saved_graph=True)),
        Candidate(OV, Precision(FloatType.BFLOAT16)),
        Candidate(ORT, batch=4),
        Candidate(ORT, Precision(quantization=StaticInt8(per_channel=False))),
    ]
    assert len({choices(each) for each in others}) == len(others)


def test_a_name_that_was_never_seen_is_unlike_all() -> None:
    estimator = Estimator("cpu", CALIBRATIONS)
    of = subject(1)
    rows = [row_of(of, each, estimator.estimate(of, each)) for each in CANDIDATES[:2]]
    encoder = Encoder.of(rows)
    other = row_of(of, Candidate(OV), estimator.estimate(of, Candidate(OV)))
    assert -1.0 in encoder.matrix([other])[0]
    assert encoder.matrix(rows).shape == (2, len(columns().groups))
