"""What is known of the devices that a candidate runs on."""

from __future__ import annotations

import pytest

from farm.candidate import (
    Candidate,
    Engine,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeWebGpu,
    Pipeline,
    PipelinePart,
)
from farm.devices.profile import load_profiles
from tests.nvidia.pretended import PretendedGpus
from workers.environments.interpreters import Interpreters
from workers.trials.places import Places

PROFILES = load_profiles()
SPLIT = Pipeline(
    (
        PipelinePart("cpu", OnnxRuntimeCpu(), ("first",)),
        PipelinePart("gpu-vulkan", OnnxRuntimeWebGpu(), ("second",)),
    )
)


CUDA_SPLIT = Pipeline((SPLIT.parts[0], PipelinePart("gpu", OnnxRuntimeCuda(), ("second",))))


@pytest.mark.parametrize(
    ("device", "engine", "expected"),
    [
        ("cpu", OnnxRuntimeCpu(), True),
        ("gpu", OnnxRuntimeCuda(), True),
        ("gpu-vulkan", OnnxRuntimeWebGpu(), False),
        ("cpu", SPLIT, False),
        ("cpu", CUDA_SPLIT, False),
    ],
)
def test_only_processors_and_gpus_of_nvidia_count_energy(
    device: str, engine: Engine, *, expected: bool
) -> None:
    profile = PROFILES[device]
    places = Places(profile, Interpreters(profile), PROFILES)
    assert places.has_energy_counter(Candidate(engine)) is expected


def test_the_gpus_of_parts_are_looked_at(gpus: PretendedGpus) -> None:
    places = Places(PROFILES["cpu"], Interpreters(PROFILES["cpu"]), PROFILES)
    assert places.gpus([Candidate(), Candidate(SPLIT)]) == ()
    ((_, gpu),) = places.gpus([Candidate(), Candidate(CUDA_SPLIT)])
    assert gpu.index == 0
