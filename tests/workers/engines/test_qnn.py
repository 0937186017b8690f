"""Qualcomm's compiler as an engine: what its emulator answers, and the context binaries."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto
from onnx.helper import make_node

from farm.artifact.folder import CONTEXT_FILE, CONTEXT_FILES, MODEL_FILE
from farm.candidate import (
    CHIPS,
    Candidate,
    OnnxRuntimeCpu,
    OnnxRuntimeQnn,
    Precision,
    StaticInt8,
)
from farm.delivery.winner import write_delivery
from farm.devices.profile import load_profiles
from farm.measurement import Metric, Outcome
from farm.model.model import load_model
from farm.session.of_candidate import session_spec
from tests import models
from tests.farm.compile import graphs
from tests.qnn import AS_GIVEN, QUANTISED, require_qnn
from tests.workers import samples
from workers.jobs import TrialReport
from workers.trials.worker import Worker

PROVIDER = "QNNExecutionProvider"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    require_qnn()
    made = Worker(load_profiles()["dsp"], tmp_path_factory.mktemp("cache"))
    yield made
    made.close()


def trial(
    worker: Worker, proto: ModelProto, candidate: Candidate = QUANTISED, key: str = "w"
) -> TrialReport:
    worker.prepare(samples.workload(proto, key))
    report = worker.run_trial(samples.job(candidate, f"{key}-{candidate.id}", key))
    worker.release([report.trial_id])
    return report


def files(worker: Worker, candidate: Candidate = QUANTISED) -> dict[str, bytes]:
    worker.prepare(samples.workload(graphs.residual_net(), "ic"))
    return worker.artifact_files(samples.job(candidate, "f", "ic"))


def for_chip(chip: str) -> Candidate:
    return replace(QUANTISED, engine=OnnxRuntimeQnn(chip=chip))  # type: ignore[arg-type]


def net_with_determinant() -> ModelProto:
    """A product of matrices, and a determinant of it, which the provider has no kernel for."""
    nodes = [
        make_node("MatMul", ["x", "w"], ["m"], name="product"),
        make_node("Relu", ["m"], ["r"], name="relu"),
        make_node("Det", ["r"], ["y"], name="determinant"),
    ]
    stored = models.weights(w=(4, 4))
    return models.build(nodes, [models.value("x", [1, 4, 4])], [models.value("y", [1])], stored)


def test_a_trial_tells_accuracy_and_size_and_no_time(worker):
    report = trial(worker, graphs.residual_net(), key="ic")
    assert report.outcome is Outcome.OK, report.message
    assert report.assignment == {PROVIDER: 1}, "the context as a whole"
    found = {m.metric: m.value for m in report.measurements}
    assert found.keys() == {Metric.ACCURACY, Metric.MODEL_SIZE}
    loaded = files(worker)
    assert found[Metric.MODEL_SIZE] == sum(len(loaded[n]) for n in (MODEL_FILE, CONTEXT_FILE))


@pytest.mark.parametrize("make", [graphs.residual_net, models.conv_net, models.mlp])
def test_its_integers_agree_with_those_of_onnx_runtime(worker, tmp_path, make):
    other = Worker(load_profiles()["cpu"], tmp_path)
    on_cpu = Candidate(OnnxRuntimeCpu(threads=1), Precision(quantization=StaticInt8()))
    try:
        key = make.__name__
        reports = trial(worker, make(), key=key), trial(other, make(), on_cpu, key)
    finally:
        other.close()
    ours, theirs = (report.accuracy.value for report in reports)  # type: ignore[union-attr]
    assert ours == pytest.approx(theirs, abs=0.01), "but for how each rounds"


def test_the_same_binary_is_made_again(worker, tmp_path_factory):
    again = Worker(load_profiles()["dsp"], tmp_path_factory.mktemp("other"))
    try:
        assert files(again)[CONTEXT_FILE] == files(worker)[CONTEXT_FILE]
    finally:
        again.close()


@pytest.mark.parametrize("chip", CHIPS)
def test_every_chip_has_a_binary(worker, chip):
    report = trial(worker, graphs.residual_net(), for_chip(chip), "ic")
    assert report.outcome is Outcome.OK, report.message


def test_binaries_of_chips_differ(worker):
    old, new = (files(worker, for_chip(chip))[CONTEXT_FILE] for chip in ("SM8450", "SM8750"))
    assert old != new


def test_operators_that_the_htp_does_not_take_are_named(worker):
    report = trial(worker, net_with_determinant(), key="det")
    assert report.outcome is Outcome.COMPILE_ERROR
    assert report.message.startswith(f"{PROVIDER} did not take 1 of ")
    assert "Det determinant" in report.message
    assert report.measurements == ()


def test_a_model_that_did_not_come_quantised(worker):
    report = trial(worker, graphs.residual_net(), AS_GIVEN, "ic")
    assert report.outcome is Outcome.COMPILE_ERROR
    assert report.message == (
        "The model did not come quantised, as the candidate says: it has no QuantizeLinear."
    )


def test_it_runs_as_it_is_delivered(worker, tmp_path):
    made, folder = files(worker), tmp_path / "delivered"
    proto = graphs.residual_net()
    write_delivery(
        folder,
        made[MODEL_FILE],
        session_spec(QUANTISED),
        load_model(models.save(proto, tmp_path)).inputs,
        "{}",
        beside={name: made[name] for name in CONTEXT_FILES},
    )
    np.savez(tmp_path / "given.npz", **graphs.feeds(proto, 1)[0])
    command = [sys.executable, str(folder / "run.py"), str(tmp_path / "given.npz")]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "y (1, 4) float32\n" in done.stdout, "beside what Qualcomm's library prints"


def test_a_cache_that_was_damaged_makes_it_anew(worker):
    key = trial(worker, graphs.residual_net(), key="ic").artifact_key
    binary: Path = worker._cache.artifact(key) / CONTEXT_FILE
    binary.write_bytes(b"damaged")
    assert len(files(worker)[CONTEXT_FILE]) > 1000
    assert f"artifacts/{key} was damaged" in worker.take_remarks()[0]
