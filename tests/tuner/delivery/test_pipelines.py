"""A winner that is a pipeline, from its trial to the program that was delivered with it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from db.records import RunKind
from db.store import Store
from farm.candidate import (
    Candidate,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeWebGpu,
    OpenVinoRuntime,
    Pipeline,
    PipelinePart,
)
from farm.devices.profile import Availability, load_profiles
from farm.model.model import load_model
from tests.conftest import furnish
from tests.vulkan.pretended import RADEON, UHD, pretend_vulkan
from tuner.bench import bench
from tuner.delivery.winners import Provenance, artifact_files, deliver_pipeline
from tuner.request import TuneRequest
from tuner.results import DeviceResult, Measured, Status
from tuner.runs.start import check_request, start_run
from tuner.verify.claim import Holds
from tuner.verify.folder import verify_folder
from workers.executor import LocalExecutor
from workers.gpus.vulkan import own_variables
from workers.jobs import TrialJob

PROFILES = load_profiles()


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_it_runs_as_it_was_measured(tmp_path: Path) -> None:
    furnish(tmp_path)
    names = [node.name for node in load_model(tmp_path / "model.onnx").proto.graph.node]
    parts = (
        PipelinePart("cpu", OnnxRuntimeCpu(threads=1), tuple(names[:4])),
        PipelinePart("cpu", OpenVinoRuntime(threads=1), tuple(names[4:])),
    )
    candidate = Candidate(Pipeline(parts))
    output = str(tmp_path / "winners")
    request = TuneRequest(str(tmp_path / "model.onnx"), ("cpu",), output=output)
    with (
        Store.open(":memory:") as store,
        LocalExecutor([PROFILES["cpu"]], tmp_path / "cache", PROFILES) as executor,
    ):
        opened = start_run(store, check_request(request, PROFILES), RunKind.BENCH)
        (found,) = bench(
            store, executor, opened, PROFILES["cpu"], [candidate], lambda _: None, detailed=False
        )
        (note,) = found.notes
        assert note.startswith("Of a run take: cpu/onnxruntime-cpu ")
        label = candidate.label()
        winner = Measured(found.trial_id, candidate.id, label, "", found.measurements)
        result = DeviceResult("cpu", Status.TUNED, winner=winner)
        provenance = Provenance(store, opened, result, candidate, candidate)
        job = TrialJob(found.trial_id, opened.subject.workload.key, candidate)
        folder = deliver_pipeline(provenance, artifact_files(provenance, executor, job))
    record = json.loads((folder / "provenance.json").read_text("utf-8"))
    assert record["trial_details"]["split"]["parts"][1]["place"] == "cpu/openvino-runtime"
    session = json.loads((folder / "session.json").read_text("utf-8"))
    assert [part["engine"] for part in session["parts"]] == ["onnxruntime", "openvino"]
    spinning = session["parts"][0]["spec"]["config_entries"]
    assert spinning == {"session.intra_op.spin_duration_us": "20"}
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "run.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("scores (1, 4) float32\n", 0), done.stderr
    verified = verify_folder(folder, PROFILES, lambda _: None)
    assert (verified.holds, verified.disagreements) == (Holds.YES, ()), verified.reason
    assert verified.reason == "it was benched, so that no speed was claimed"
    (folder / "part-1" / "model.onnx").write_bytes(b"another")
    verified = verify_folder(folder, PROFILES, lambda _: None)
    assert verified.disagreements == ("part-1/model.onnx is not the file that was delivered",)


def test_its_parts_find_their_devices_though_only_one_was_asked_for(tmp_path: Path) -> None:
    furnish(tmp_path)
    second = {"gpu1": replace(PROFILES["gpu"], name="gpu1", gpu=1)}
    request = TuneRequest(str(tmp_path / "model.onnx"), ("cpu",))
    parts = (
        PipelinePart("gpu1", OnnxRuntimeCuda(), ("first",)),
        PipelinePart("gpu-software", OnnxRuntimeWebGpu(), ("second",)),
        PipelinePart("cpu", OnnxRuntimeCpu(), ("third",)),
    )
    candidate = Candidate(Pipeline(parts))
    with Store.open(":memory:") as store:
        checked = check_request(request, {**PROFILES, **second})
        opened = start_run(store, checked, RunKind.BENCH)
        result = DeviceResult("cpu", Status.TUNED)
        provenance = Provenance(store, opened, result, candidate, candidate)
    numbers = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1"}
    software = own_variables(PROFILES["gpu-software"])
    assert software["VK_DRIVER_FILES"] == software["VK_ICD_FILENAMES"]
    assert provenance.variables == software | numbers
    assert provenance.gpus == {"cpu": 0, "gpu-software": 0, "gpu1": 0}


@pytest.mark.parametrize("cores", [0, 8])
def test_its_process_sees_its_vulkan_gpu_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """cores: of another machine, whose profile says how; 0 where it is this one."""
    furnish(tmp_path)
    second = {"gpu-vulkan1": replace(PROFILES["gpu-vulkan"], name="gpu-vulkan1", gpu=1)}
    candidate = Candidate(OnnxRuntimeWebGpu())
    for machine in pretend_vulkan(tmp_path, monkeypatch):
        machine.install(intel=(UHD,), radeon=(RADEON,))
        with Store.open(":memory:") as store:
            checked = check_request(
                TuneRequest(str(tmp_path / "model.onnx"), ("gpu-vulkan1",)),
                {**PROFILES, **second},
                availability=lambda _: Availability(available=True, cores=cores),
            )
            opened = start_run(store, checked, RunKind.BENCH)
            result = DeviceResult("gpu-vulkan1", Status.TUNED)
            provenance = Provenance(store, opened, result, candidate, candidate)
        assert provenance.variables == ({} if cores else machine.choosing("intel"))
