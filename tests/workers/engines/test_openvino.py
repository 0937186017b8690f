"""OpenVINO by its own package: it runs what was asked for, in the precision asked for."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.artifact.compiler import compile_candidate
from farm.candidate import (
    Candidate,
    DynamicInt8,
    FloatType,
    OpenVino,
    OpenVinoRuntime,
    Precision,
    StaticInt8,
)
from farm.measurement import Metric, Outcome
from farm.session.of_candidate import session_spec
from farm.session.spec import OpenVinoSpec
from tests import models
from tests.farm.compile import graphs
from tests.workers import samples
from workers.discovery import engine_availability, engines_of, openvino_float_types
from workers.engines.session import EngineError, NotAsPlannedError
from workers.trials.worker import Worker

OpenVinoSession = pytest.importorskip("workers.engines.openvino.session").OpenVinoSession
ENGINE = OpenVinoRuntime(threads=1)
INT8 = Precision(quantization=StaticInt8())
BFLOAT16 = Precision(FloatType.BFLOAT16)
PRODUCTS = Precision(quantization=StaticInt8(products=True))


def spec(precision: Precision | None = None, engine: OpenVinoRuntime = ENGINE) -> OpenVinoSpec:
    found = session_spec(Candidate(engine, precision or Precision()))
    assert isinstance(found, OpenVinoSpec)
    return found


def feeds(proto: onnx.ModelProto, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {
        i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in proto.graph.input
    }
    return {n: random.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


def expected(proto: onnx.ModelProto, given: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, given)


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    proto = models.conv_net()
    calibration = [feeds(proto, seed) for seed in range(8)]
    folder = tmp_path / "artifact"
    folder.mkdir()
    compile_candidate(proto, Candidate(ENGINE, INT8), calibration, folder)
    return folder / "model.onnx"


class TestSession:
    def test_it_gives_what_onnx_runtime_gives(self, tmp_path):
        proto = models.conv_net()
        session = OpenVinoSession(models.save(proto, tmp_path), spec())
        given = feeds(proto)
        for ours, theirs in zip(session.run(given), expected(proto, given), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)

    def test_outputs_are_kept_over_later_runs(self, tmp_path):
        proto = models.conv_net()
        session = OpenVinoSession(models.save(proto, tmp_path), spec())
        first = session.run(feeds(proto, 1))[0]
        copy = first.copy()
        session.run(feeds(proto, 2))
        np.testing.assert_array_equal(first, copy)

    def test_timed_runs_have_the_chosen_input_whatever_ran_between(self, tmp_path):
        proto = models.conv_net()
        session = OpenVinoSession(models.save(proto, tmp_path), spec())
        session.set_feeds(feeds(proto, 1))
        session.run(feeds(proto, 2))
        assert session.timed(2) > 0
        np.testing.assert_array_equal(
            session._request.output_tensors[0].data, session.run(feeds(proto, 1))[0]
        )

    def test_inputs_are_found_by_name(self, tmp_path):
        node = make_node("Sub", ["a", "b"], ["y"])
        ends = [models.value(n, [2]) for n in ("b", "a")], [models.value("y", [2])]
        path = models.save(models.build([node], *ends, {}), tmp_path)
        given = {"a": np.float32([5, 7]), "b": np.float32([1, 2])}
        assert OpenVinoSession(path, spec()).run(given)[0].tolist() == [4, 5]

    def test_scalars_and_arrays_that_are_not_contiguous(self, tmp_path):
        node = make_node("Mul", ["a", "b"], ["y"])
        ends = [models.value("a", []), models.value("b", [2, 3])], [models.value("y", [2, 3])]
        path = models.save(models.build([node], *ends, {}), tmp_path)
        given = {"a": np.float32(2), "b": np.arange(6, dtype=np.float32).reshape(3, 2).T}
        np.testing.assert_array_equal(OpenVinoSession(path, spec()).run(given)[0], 2 * given["b"])

    def test_callers_have_requests_of_their_own(self, tmp_path):
        proto = models.conv_net()
        engine = replace(ENGINE, hint="throughput", streams=1)
        session = OpenVinoSession(models.save(proto, tmp_path), spec(engine=engine))
        session.set_feeds(feeds(proto))
        with session.callers(2) as callers:
            assert callers[0] is not callers[1]
            assert all(caller.timed(1) > 0 for caller in callers)

    def test_no_compiled_model_is_kept_for_the_next_session(self, tmp_path):
        cache = tmp_path / "cache"
        path, plain = models.save(models.conv_net(), tmp_path), spec()
        caching = replace(plain, config={**plain.config, "CACHE_DIR": str(cache)})
        OpenVinoSession(path, caching)
        assert not list(cache.glob("*"))
        openvino = pytest.importorskip("openvino")
        openvino.Core().compile_model(path, "CPU", caching.config)
        assert list(cache.glob("*")), "the cache that is off"

    def test_an_unknown_operator_is_one_sentence(self, tmp_path):
        path = models.save(models.custom_net(), tmp_path)
        with pytest.raises(EngineError) as caught:
            OpenVinoSession(path, spec())
        assert "Fold" in str(caught.value)
        assert "\n" not in str(caught.value)


class TestPrecision:
    def test_float32_is_float32_on_every_processor(self, tmp_path):
        session = OpenVinoSession(models.save(models.conv_net(), tmp_path), spec())
        assert set(session.assignment) == {"OpenVINO CPU f32"}

    @pytest.mark.skipif(
        FloatType.BFLOAT16 not in openvino_float_types(), reason="this processor has no bfloat16"
    )
    def test_bfloat16_reaches_the_operators(self, tmp_path):
        session = OpenVinoSession(models.save(models.conv_net(), tmp_path), spec(BFLOAT16))
        assert session.assignment["OpenVINO CPU bf16"] >= 1

    def test_integers_reach_the_operators(self, quantised):
        assert spec(INT8).integers == "needed"
        session = OpenVinoSession(quantised, spec(INT8))
        counts = session.assignment
        assert counts.get("OpenVINO CPU i8", 0) + counts.get("OpenVINO CPU u8", 0) >= 1

    @pytest.mark.parametrize("mask", [None, (8,), (8, 8)])
    def test_products_of_activations_are_integers_too(self, tmp_path, mask):
        proto = graphs.attention_net(mask)
        compile_candidate(proto, Candidate(ENGINE, PRODUCTS), graphs.feeds(proto), tmp_path)
        session = OpenVinoSession(tmp_path / "model.onnx", spec(PRODUCTS))
        products = {"FullyConnected", "MatMul", "Subgraph"}  # by processor
        kernels = [k for k in session.kernels if k.layer_type in products]
        in_integers = [k for k in kernels if k.precision in {"i8", "u8"}]
        assert [k.layer_type for k in in_integers].count("FullyConnected") == 4
        assert any("mix" in k.operators for k in in_integers)
        given = graphs.feeds(proto, 1)[0]
        assert graphs.error(expected(proto, given)[0], session.run(given)[0]) < 0.03

    def test_a_float_model_is_not_taken_for_a_quantised_one(self, tmp_path):
        path = models.save(models.conv_net(), tmp_path)
        with pytest.raises(NotAsPlannedError, match=r"computes none of \d+ operators in int8"):
            OpenVinoSession(path, spec(INT8))

    def test_nor_a_quantised_one_for_a_float_model(self, quantised):
        with pytest.raises(NotAsPlannedError, match="in another precision than f32: Convolution"):
            OpenVinoSession(quantised, spec())

    def test_a_hint_that_is_not_followed(self, tmp_path):
        """What OpenVINO's processor device makes of a hint that it has no kernels for."""
        asked = replace(spec(), float_type="bf16")
        path = models.save(models.conv_net(), tmp_path)
        with pytest.raises(
            NotAsPlannedError, match="3 of 5 operators in another precision than bf16"
        ):
            OpenVinoSession(path, asked)

    def test_what_is_quantised_as_it_runs_may_be(self):
        assert spec(Precision(quantization=DynamicInt8())).integers == "allowed"
        assert spec().integers == "none"


class TestTrials:
    def test_a_trial_is_measured_and_its_assignment_recorded(self, worker: Worker):
        worker.prepare(samples.workload(models.conv_net()))
        report = worker.run_trial(samples.job(Candidate(ENGINE)))
        assert report.outcome is Outcome.OK, report.message
        assert set(report.assignment) == {"OpenVINO CPU f32"}
        found = {m.metric: m.value for m in report.measurements}
        assert found[Metric.LATENCY] > 0
        assert found[Metric.ACCURACY] > 0.99

    def test_the_session_is_delivered_as_it_was_measured(self):
        text = asdict(
            spec(engine=OpenVinoRuntime(threads=2, hint="throughput", streams=2, pinning=False))
        )
        assert text["config"] == {
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_NUM_THREADS": "2",
            "NUM_STREAMS": "2",
            "ENABLE_CPU_PINNING": "NO",
        }

    def test_a_stored_trial_of_the_plugin_is_replayed_or_says_why_not(self, worker: Worker):
        worker.prepare(samples.workload(models.conv_net()))
        report = worker.run_trial(samples.job(Candidate(OpenVino(threads=1))))
        plugin = engine_availability("openvino")
        if plugin.available:
            assert report.outcome is Outcome.OK, report.message
        elif "not installed" in plugin.reason:
            assert "pip install onnxruntime-ep-openvino" in report.message
        else:
            assert "found no device on this machine" in report.message

    def test_one_of_the_two_ways_to_openvino_is_offered(self):
        found = engines_of(samples.cpu_profile())
        assert found["openvino-runtime"].available
        assert not found["openvino"].available
        told = f"{found['openvino'].reason} {found['openvino'].remedy}"
        assert "openvino-runtime" in told
