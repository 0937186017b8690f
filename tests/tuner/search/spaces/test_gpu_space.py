"""Which choices exist on GPUs of NVIDIA and Intel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.artifact.precision import graph_precision
from farm.candidate import (
    Candidate,
    FloatType,
    GivenFormat,
    OnnxRuntimeCuda,
    OnnxRuntimeGpu,
    OnnxRuntimeTensorRt,
    OpenVinoGpu,
    Precision,
    StaticInt8,
)
from farm.costs.calibration import CostPlace
from farm.errors import CompileError, DeviceError
from tuner.calibrating.places import places_of
from tuner.search.expecting.cold import ColdPrior
from tuner.search.space import Space
from workers.fingerprint import fingerprint
from workers.jobs import DeviceFacts

ENGINES = ("onnxruntime-cuda", "onnxruntime-tensorrt")
SPACE = Space(ENGINES, 8, quantizable={"static-int8": ("a",), "weight-only-int4": ("a",)})
CUDA = OnnxRuntimeCuda()


def test_the_baseline_and_what_takes_its_place_where_operators_have_no_kernels():
    assert SPACE.baselines() == (
        Candidate(CUDA),
        Candidate(OnnxRuntimeCuda(cpu_operators=True)),
    )


def test_what_runs_beside_it_has_no_more_threads_than_may_be() -> None:
    space = replace(SPACE, most_threads=2)
    engines = [candidate.engine for candidate in space.baselines()] + list(space.float_engines())
    near = [c.engine for e in engines for c in space.neighbours(Candidate(e))]
    gpu = [e for e in (*engines, *near) if isinstance(e, OnnxRuntimeGpu)]
    assert len(gpu) == len(engines) + len(near)
    assert {engine.cpu_threads for engine in gpu} == {2}


def test_the_main_options_are_tried_without_tf32():
    engines = SPACE.float_engines()
    assert {e.kind for e in engines} == set(ENGINES)
    assert {(e.layout, e.cuda_graph) for e in engines if isinstance(e, OnnxRuntimeCuda)} == {
        (layout, recorded) for layout in ("nchw", "nhwc") for recorded in (False, True)
    }
    assert not any(e.tf32 for e in engines if isinstance(e, OnnxRuntimeCuda | OnnxRuntimeTensorRt))


@pytest.mark.parametrize("engine", [CUDA, OnnxRuntimeTensorRt()])
def test_precisions(engine):
    assert SPACE.precisions(engine) == (Precision(FloatType.FLOAT16),)
    half = Space(ENGINES, 8, given=GivenFormat.FLOAT16)
    assert half.float_types(engine) == (FloatType.FLOAT32, FloatType.FLOAT16)
    double = Space(ENGINES, 8, given=GivenFormat.FLOAT64)
    assert double.float_types(engine) == (FloatType.FLOAT64,)


def test_neighbours_differ_in_one_option_and_are_offered():
    near = SPACE.neighbours(Candidate(CUDA))
    assert Candidate(OnnxRuntimeCuda(tf32=True)) in near
    assert Candidate(CUDA, Precision(FloatType.FLOAT16)) in near
    assert not any(candidate.precision.quantization for candidate in near)
    assert not SPACE.offers(Candidate(CUDA, Precision(quantization=StaticInt8())))


def test_what_a_gpu_does_not_compute_in_is_a_compile_error():
    for precision in (Precision(quantization=StaticInt8()), Precision(FloatType.BFLOAT16)):
        with pytest.raises(CompileError, match="onnxruntime-cuda engine computes in float32 or"):
            graph_precision(Candidate(CUDA, precision))
    half = Precision(FloatType.FLOAT16)
    assert graph_precision(Candidate(CUDA, half)) == half


def test_rules_of_thumb_know_them():
    baseline, tensorrt = ColdPrior(SPACE).expect(
        [Candidate(CUDA), Candidate(OnnxRuntimeTensorRt())]
    )
    assert baseline.ratio == 1.0
    assert tensorrt.ratio < 1.0


def test_a_place_is_calibrated_where_kernels_are_told_apart():
    """Of TensorRT all that it takes is one kernel; none of them quantises."""
    (place,) = places_of("gpu", DeviceFacts(fingerprint(), {}, ENGINES))
    assert (place.place, place.candidate) == (CostPlace("gpu", CUDA.kind), Candidate(CUDA))
    with pytest.raises(DeviceError, match="none of its engines tells what its kernels take"):
        places_of("gpu", DeviceFacts(fingerprint(), {}, ENGINES[1:]))


class TestOpenVino:
    SPACE = Space(("openvino-gpu",), 8, (FloatType.FLOAT32, FloatType.FLOAT16))

    def test_the_baseline_is_in_float32(self):
        assert self.SPACE.baselines() == (Candidate(OpenVinoGpu()),)

    def test_float16_is_tried_where_the_gpu_has_it(self):
        assert self.SPACE.precisions(OpenVinoGpu()) == (Precision(FloatType.FLOAT16),)
        assert Space(("openvino-gpu",), 8).precisions(OpenVinoGpu()) == ()

    def test_of_one_caller_hints_are_no_choice(self):
        assert self.SPACE.float_engines() == (OpenVinoGpu(),)
        many = replace(self.SPACE, many=True)
        assert OpenVinoGpu(hint="throughput") in many.float_engines()
        near = [c.engine for c in many.neighbours(Candidate(OpenVinoGpu()))]
        assert OpenVinoGpu(hint="throughput") in near
        assert OpenVinoGpu(streams=2) in near
