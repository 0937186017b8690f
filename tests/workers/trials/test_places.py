"""What is known of the devices that a candidate runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.candidate import (
    Candidate,
    CPackageEmulated,
    Engine,
    Fake,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeWebGpu,
    OpenVinoRuntime,
    Pipeline,
    PipelinePart,
)
from farm.devices.profile import load_profiles
from tests.nvidia.pretended import PretendedGpus
from tests.rapl import FakeRapl
from workers.environments.interpreters import Interpreters
from workers.meters.energy import POWERCAP
from workers.trials.children import CounterFailed
from workers.trials.places import Places

PROFILES = load_profiles()
SPLIT = Pipeline(
    (
        PipelinePart("cpu", OnnxRuntimeCpu(), ("first",)),
        PipelinePart("gpu-vulkan", OnnxRuntimeWebGpu(), ("second",)),
    )
)


CUDA_SPLIT = Pipeline((SPLIT.parts[0], PipelinePart("gpu", OnnxRuntimeCuda(), ("second",))))


TWO_ENGINES = Pipeline(
    (SPLIT.parts[0], PipelinePart("cpu", OpenVinoRuntime(), ("second",))),
)


@pytest.mark.parametrize(
    ("device", "engine", "seconds"),
    [
        ("cpu", OnnxRuntimeCpu(), 0.5),
        ("cpu", TWO_ENGINES, 0.5),
        ("gpu", OnnxRuntimeCuda(), 5.0),
        ("gpu", OnnxRuntimeCuda(cpu_operators=True), None),
        ("gpu-vulkan", OnnxRuntimeWebGpu(), None),
        ("cpu", SPLIT, None),
        ("cpu", CUDA_SPLIT, None),
        ("fake", Fake(), None),
        ("dsp", CPackageEmulated(), None),
    ],
)
def test_only_processors_and_gpus_of_nvidia_count_energy(
    device: str, engine: Engine, seconds: float | None, gpus: PretendedGpus, rapl: FakeRapl
) -> None:
    """For so many seconds at least."""
    profile = PROFILES[device]
    places = Places(profile, Interpreters(profile), PROFILES)
    with rapl.counting():
        assert places.energy_window(Candidate(engine)) == seconds
        assert places.counted_window(Candidate(engine)) == seconds


@pytest.mark.parametrize(
    ("device", "engine"), [("cpu", OnnxRuntimeCpu()), ("gpu", OnnxRuntimeCuda())]
)
def test_without_a_counter_nothing_is_counted(
    device: str,
    engine: Engine,
    gpus: PretendedGpus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus.tell(gpus=[{"energy": False}])
    monkeypatch.setenv(POWERCAP, str(tmp_path / "nothing"))
    profile = PROFILES[device]
    places = Places(profile, Interpreters(profile), PROFILES)
    assert places.energy_window(Candidate(engine)) is None
    with pytest.raises(CounterFailed, match="not there any more"):
        places.counted_window(Candidate(engine))
    assert places.counted_window(Candidate(SPLIT)) is None, "no counter would tell of it"


def test_the_gpus_of_parts_are_looked_at(gpus: PretendedGpus) -> None:
    places = Places(PROFILES["cpu"], Interpreters(PROFILES["cpu"]), PROFILES)
    assert places.gpus([Candidate(), Candidate(SPLIT)]) == ()
    ((_, gpu),) = places.gpus([Candidate(), Candidate(CUDA_SPLIT)])
    assert gpu.index == 0
