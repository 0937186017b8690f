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
from workers.environments.interpreters import Interpreters
from workers.trials.places import Places

PROFILES = load_profiles()
SPLIT = Pipeline(
    (
        PipelinePart("cpu", OnnxRuntimeCpu(), ("first",)),
        PipelinePart("gpu-vulkan", OnnxRuntimeWebGpu(), ("second",)),
    )
)


@pytest.mark.parametrize(
    ("device", "engine", "expected"),
    [
        ("cpu", OnnxRuntimeCpu(), True),
        ("gpu", OnnxRuntimeCuda(), True),
        ("gpu-vulkan", OnnxRuntimeWebGpu(), False),
        ("cpu", SPLIT, False),
    ],
)
def test_only_processors_and_gpus_of_nvidia_count_energy(
    device: str, engine: Engine, *, expected: bool
) -> None:
    profile = PROFILES[device]
    places = Places(profile, Interpreters(profile), PROFILES)
    assert places.has_energy_counter(Candidate(engine)) is expected
