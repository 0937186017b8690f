"""What a calibration alone says of candidates."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.candidate import (
    Candidate,
    DynamicInt8,
    FloatType,
    OnnxRuntimeCpu,
    OpenVinoRuntime,
    Pipeline,
    PipelinePart,
    Precision,
    Quantization,
    StaticInt8,
)
from farm.devices.profile import load_profiles
from farm.errors import DeviceError
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.prediction import Basis
from tests.farm.costs.test_calibration import CALIBRATION, CONSTANTS
from tests.models import conv_net, save
from tuner.learning.from_calibration import FromCalibration
from tuner.learning.subjects import subject_of
from tuner.learning.values import CandidatePrediction, Subject

PROFILE = load_profiles()["cpu"]
PREDICTOR = FromCalibration(PROFILE, 4, {"cpu": CALIBRATION})


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    model = load_model(save(conv_net(), tmp_path))
    return subject_of(model, build_graph(model))


def predicted(subject: Subject, candidate: Candidate) -> CandidatePrediction:
    (found,) = PREDICTOR.predict(subject, [candidate])
    return found


def in_int8(quantization: Quantization) -> Candidate:
    return Candidate(precision=Precision(quantization=quantization))


def test_the_whole_model_takes_its_kernels_and_a_call(subject: Subject) -> None:
    found = predicted(subject, Candidate()).latency
    assert found.basis is Basis.ROOFLINE
    assert found.rows == len(CONSTANTS.points)
    assert found.value > CALIBRATION.ends[0].launch


def test_predictions_come_in_the_candidates_order(subject: Subject) -> None:
    candidates = [Candidate(OnnxRuntimeCpu(threads=n)) for n in (2, 1, 4)]
    found = PREDICTOR.predict(subject, candidates)
    assert [each.candidate for each in found] == candidates


def test_fewer_threads_take_longer_perhaps(subject: Subject) -> None:
    all_, one = (predicted(subject, Candidate(OnnxRuntimeCpu(threads=n))) for n in (0, 1))
    assert one.latency.low == all_.latency.low
    assert one.latency.high == pytest.approx(4 * all_.latency.high)
    assert one.cpu_seconds.value == one.latency.value
    assert all_.cpu_seconds.high == pytest.approx(4 * all_.latency.high)


def test_other_number_formats_make_the_interval_wider(subject: Subject) -> None:
    def width(candidate: Candidate) -> float:
        found = predicted(subject, candidate).latency
        return found.high / found.low

    plain = width(Candidate())
    assert width(Candidate(precision=Precision(FloatType.BFLOAT16))) > plain
    assert width(in_int8(StaticInt8())) > plain
    assert width(in_int8(DynamicInt8())) > plain


def test_a_batch_takes_as_often_as_it_has_samples(subject: Subject) -> None:
    one, eight = (predicted(subject, Candidate(batch=n)).latency for n in (1, 8))
    assert eight.value == pytest.approx(8 * one.value)


def test_parts_of_a_pipeline_are_added_up(subject: Subject) -> None:
    names = tuple(op.name for op in subject.operators)
    engine = OnnxRuntimeCpu()
    parts = (PipelinePart("cpu", engine, names[:2]), PipelinePart("cpu", engine, names[2:]))
    split = predicted(subject, Candidate(Pipeline(parts))).latency
    assert split.value >= predicted(subject, Candidate()).latency.value


def test_memory_is_at_least_the_weights(subject: Subject) -> None:
    found = predicted(subject, Candidate()).peak_memory
    assert subject.weight_bytes < found.low < found.value < found.high
    assert predicted(subject, in_int8(StaticInt8())).peak_memory.low < found.low


def test_nothing_is_said_of_an_engine_that_was_not_calibrated(subject: Subject) -> None:
    with pytest.raises(DeviceError, match="knows nothing of openvino-runtime"):
        predicted(subject, Candidate(OpenVinoRuntime()))


def test_nothing_is_said_of_a_device_that_was_not_calibrated(subject: Subject) -> None:
    names = tuple(op.name for op in subject.operators)
    part = PipelinePart("dsp", OnnxRuntimeCpu(), names)
    with pytest.raises(DeviceError, match="Device dsp was never calibrated"):
        predicted(subject, Candidate(Pipeline((part,))))
