"""Several Vulkan GPUs are several devices, whose processes see one each.

What drivers list is a stand-in (see ``tests.vulkan``), but where "real" is said: there the
loader is the system's, and drivers are two that come with Debian's chromium.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from farm.devices.profile import Availability, DeviceProfile, load_profiles
from reports.machine_readable import devices_json
from tests.vulkan.pretended import (
    ARC,
    LLVMPIPE,
    RADEON,
    UHD,
    PretendedVulkan,
    forget,
    pretend_pci,
    pretend_vulkan,
    write_driver,
)
from tests.webgpu import require_webgpu
from workers.discovery import device_availability
from workers.environments.installed import environments_of
from workers.gpus import pci, webgpu
from workers.gpus.alone import _by_model, alone, self_contained
from workers.gpus.devices import gpu_facts, with_gpus
from workers.gpus.numbers import seen_variables
from workers.gpus.vulkan import ENGINE, vulkan_gpu, vulkan_gpus, vulkan_here, vulkan_versions

PROFILES = load_profiles()
GPU = PROFILES["gpu-vulkan"]
ANY = "WebGpuExecutionProvider takes any GPU that it sees, and nothing here hides"
LAYER = "install Mesa's layer that chooses among GPUs (mesa-vulkan-drivers)"
CHROMIUM = Path("/usr/lib/chromium")
SWIFTSHADER, MOCK = CHROMIUM / "libvk_swiftshader.so", CHROMIUM / "libVkICD_mock_icd.so"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedVulkan]:
    yield from pretend_vulkan(tmp_path, monkeypatch)


@pytest.fixture
def drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Files of two real drivers, all that the loader finds: of a GPU that computes nothing, and
    of a program.
    """
    if not (SWIFTSHADER.exists() and MOCK.exists()):
        pytest.skip("the drivers of Debian's chromium are not installed (.ci/install webgpu)")
    made = {
        "mock": write_driver(tmp_path, "mock", MOCK),
        "program": write_driver(tmp_path, "program", SWIFTSHADER),
    }
    monkeypatch.setenv("VK_DRIVER_FILES", ":".join(made.values()))
    forget()
    yield made
    forget()


def numbered(number: int) -> DeviceProfile:
    return replace(GPU, gpu=number)


def refused(profile: DeviceProfile) -> tuple[str, str]:
    found = webgpu.missing_device(profile)
    assert found is not None
    assert not found.available
    return found.reason, found.remedy


def test_each_is_a_device(machine: PretendedVulkan) -> None:
    machine.install(intel=(UHD,), lvp=(LLVMPIPE,), radeon=(RADEON,))
    found = with_gpus(PROFILES)
    assert found.keys() - PROFILES.keys() == {"gpu-vulkan1"}
    assert vulkan_gpu(found["gpu-vulkan"]) == RADEON, "discrete ones come first"
    assert vulkan_gpu(found["gpu-vulkan1"]) == UHD
    own = replace(PROFILES["cpu"], name="gpu-vulkan1")
    assert with_gpus({**PROFILES, "gpu-vulkan1": own})["gpu-vulkan1"] == own


def test_where_the_system_knows_of_one_vulkan_is_not_asked(
    machine: PretendedVulkan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_pci(tmp_path / "one", monkeypatch, ["0000:01:00.0"])
    (tmp_path / "one" / "nvidia" / "0000:01:00.0").mkdir(parents=True)
    assert with_gpus(PROFILES) == PROFILES
    assert machine.asked == 0


def test_their_order_is_not_that_of_drivers(machine: PretendedVulkan) -> None:
    late = replace(RADEON, address="0000:0c:00.0", uuid="e")
    machine.install(b=(UHD, late), a=(RADEON, LLVMPIPE, ARC))
    assert vulkan_gpus(GPU) == (ARC, RADEON, late, UHD)


def test_a_gpu_of_two_drivers_is_one(machine: PretendedVulkan) -> None:
    other = replace(RADEON, name="by AMD", driver_name="AMD open-source driver")
    machine.install(radeon=(RADEON,), amd=(other,))
    assert vulkan_gpus(GPU) == (other,)
    assert alone(GPU) == machine.choosing("amd")
    own = replace(GPU, variables={"VK_ICD_FILENAMES": machine.file("radeon")})
    assert vulkan_gpu(own) == RADEON
    assert alone(own) == {}


def test_a_driver_that_tells_no_address_tells_of_the_same_gpu(machine: PretendedVulkan) -> None:
    other = replace(RADEON, name="by AMD", driver_name="AMD open-source driver", address="")
    machine.install(radeon=(RADEON,), amd=(other,), intel=(ARC,))
    assert vulkan_gpus(GPU) == (ARC, RADEON)
    assert seen_variables(numbered(1)) == machine.choosing("radeon")


def test_ids_of_old_drivers_are_those_of_a_model(machine: PretendedVulkan) -> None:
    """Mesa's of Intel once made them of the model alone."""
    twin = replace(ARC, address="0000:04:00.0")
    machine.install(intel=(ARC, twin))
    assert vulkan_gpus(GPU) == (ARC, twin)


def test_those_that_nothing_tells_apart_are_refused(machine: PretendedVulkan) -> None:
    """Whatever shows one of them may show the other."""
    plain = replace(ARC, address="", uuid="")
    machine.install(intel=(plain, plain), radeon=(RADEON,))
    machine.has_layer = True
    assert vulkan_gpus(GPU) == (RADEON, plain, plain)
    assert webgpu.missing_device(GPU) is None
    for number in (1, 2):
        assert alone(numbered(number)) is None
        reason, remedy = refused(numbered(number))
        assert reason == (
            "Vulkan lists Arc, discrete more than once, and nothing tells which is which: the "
            "driver tells neither their addresses nor their ids"
        )
        assert remedy == "install a newer driver"


def test_drivers_that_a_profile_names_outrank_the_users(
    machine: PretendedVulkan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaders look at VK_DRIVER_FILES first, which the user may have set."""
    machine.install(radeon=(RADEON,), intel=(UHD,), lvp=(LLVMPIPE,))
    monkeypatch.setenv("VK_DRIVER_FILES", machine.file("intel"))
    own = replace(GPU, variables={"VK_ICD_FILENAMES": machine.file("radeon")})
    assert vulkan_gpu(own) == RADEON
    assert seen_variables(own) == self_contained(own).variables == machine.choosing("radeon")
    assert vulkan_gpu(GPU) == UHD, "a profile that names none takes what the user names"
    program = replace(own, variables={"VK_ICD_FILENAMES": machine.file("lvp")}, is_software=True)
    assert webgpu.missing_device(program) is None


def test_those_that_tell_no_address_are_told_apart(machine: PretendedVulkan) -> None:
    plain = [replace(RADEON, address="", uuid=uuid) for uuid in ("y", "x")]
    machine.install(radeon=(*plain, ARC))
    assert vulkan_gpus(GPU) == (ARC, plain[1], plain[0])


def test_where_there_is_one_nothing_is_chosen(machine: PretendedVulkan) -> None:
    machine.install(radeon=(RADEON,))
    assert seen_variables(GPU) == {}
    assert machine.asked == 2, "once for the GPU, once for what its processes see"


def test_a_process_sees_its_own_and_no_program(machine: PretendedVulkan) -> None:
    machine.install(intel=(UHD,), lvp=(LLVMPIPE,), radeon=(RADEON,))
    assert seen_variables(GPU) == machine.choosing("radeon")
    assert seen_variables(numbered(1)) == machine.choosing("intel")
    assert webgpu.missing_device(numbered(1)) is None


def test_a_profile_chooses_among_the_drivers_that_it_names(machine: PretendedVulkan) -> None:
    machine.install(intel=(UHD,), radeon=(RADEON,), other=(ARC,))
    files = ":".join(map(machine.file, ("radeon", "intel")))
    own = replace(GPU, gpu=1, variables={"VK_DRIVER_FILES": files})
    assert vulkan_gpu(own) == UHD
    assert seen_variables(own) == machine.choosing("intel")


@pytest.mark.parametrize("means", ["has_layer", "has_filters"])
def test_of_one_driver_models_are_chosen(machine: PretendedVulkan, means: str) -> None:
    machine.install(intel=(UHD, ARC), lvp=(LLVMPIPE,))
    setattr(machine, means, True)
    found = alone(numbered(1))
    assert found is not None
    assert found.items() >= machine.choosing("intel").items()
    assert found["VK_LOADER_DEVICE_ID_FILTER"] == "0x4680"
    assert found["MESA_VK_DEVICE_SELECT"] == "8086:4680"


def test_of_one_model_addresses_are_chosen(machine: PretendedVulkan) -> None:
    twin = replace(RADEON, address="0000:0c:00.0", uuid="e")
    machine.install(radeon=(RADEON, twin))
    machine.has_layer = True
    found = alone(numbered(1))
    assert found is not None
    assert found.items() >= {"DRI_PRIME": "pci-0000_0c_00_0"}.items()


def test_what_hides_nothing_is_refused(machine: PretendedVulkan) -> None:
    machine.install(intel=(UHD, ARC), lvp=(LLVMPIPE,))
    assert refused(GPU) == (
        f"{ANY} UHD, integrated",
        f"{LAYER}, or Vulkan's loader 1.4.326 or newer",
    )
    assert seen_variables(GPU) == {}
    assert self_contained(GPU) == GPU


def test_loaders_do_not_tell_twins_apart(machine: PretendedVulkan) -> None:
    twin = replace(RADEON, address="0000:0c:00.0", uuid="e")
    machine.install(radeon=(RADEON, twin))
    machine.has_filters = True
    assert refused(numbered(1)) == (f"{ANY} Radeon, discrete", LAYER)


def test_a_driver_whose_file_is_not_found(machine: PretendedVulkan) -> None:
    """As one in the user's own folders."""
    machine.install(radeon=(RADEON,), lvp=(LLVMPIPE,))
    Path(machine.file("radeon")).unlink()
    assert refused(GPU) == (
        f"{ANY} llvmpipe, software",
        "name the file of its driver in the profile's variables, as VK_DRIVER_FILES",
    )


def test_it_has_another_number(machine: PretendedVulkan) -> None:
    machine.install(radeon=(RADEON,))
    assert refused(numbered(1)) == (
        "Vulkan lists 1 GPU, and number 1, from 0, is none of them",
        "correct gpu in the device profile",
    )


def test_engines_that_count_otherwise(machine: PretendedVulkan) -> None:
    machine.install(radeon=(RADEON,))
    both = replace(GPU, engines=("onnxruntime-webgpu", "onnxruntime-cuda"))
    assert webgpu.missing_device(both) is None
    machine.install(intel=(UHD,))
    assert refused(both) == (
        "other engines of its profile count other GPUs than WebGpuExecutionProvider",
        "name onnxruntime-webgpu in a device profile of its own",
    )
    assert vulkan_versions(both) == {}


def test_a_gpu_is_no_program(machine: PretendedVulkan) -> None:
    machine.install(radeon=(RADEON,))
    assert refused(replace(GPU, is_software=True)) == (
        "no Vulkan device is a program, as its profile says of it (Radeon, discrete)",
        "leave out is_software in the device profile, or correct its variables",
    )


def test_what_other_machines_and_processes_are_told(machine: PretendedVulkan) -> None:
    machine.install(intel=(UHD,), radeon=(RADEON,))
    found = self_contained(replace(numbered(1), variables={"OWN": "1"}))
    assert (found.gpu, found.variables) == (0, {"OWN": "1", **machine.choosing("intel")})
    assert vulkan_gpu(found) == UHD
    assert alone(found) == {}
    assert self_contained(PROFILES["cpu"]) == PROFILES["cpu"]


def test_the_software_of_a_trial_names_its_own(machine: PretendedVulkan) -> None:
    machine.install(intel=(UHD,), radeon=(RADEON,))
    assert vulkan_versions(numbered(1)) == {"vulkan gpu": "UHD", "vulkan driver": "23.2.1"}


def test_programs_see_memory_driver_and_link(
    machine: PretendedVulkan, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.install(intel=(UHD,), radeon=(RADEON,))
    monkeypatch.setattr("workers.gpus.vulkan.pcie_link", {RADEON.address: "PCIe 4 x16"}.get)
    rows = [(p, Availability(available=True), p.engines) for p in (GPU, numbered(1))]
    card, chip = (row["gpu"] for row in json.loads(devices_json(rows)))
    assert card == {
        "number": 0,
        "name": "Radeon",
        "memory_bytes": 24 << 30,
        "driver": "23.2.1",
        "cuda": None,
        "link": "PCIe 4 x16",
        "uuid": "c",
    }
    assert (chip["number"], chip["name"], chip["link"]) == (1, "UHD", None)
    assert RADEON.describe() == "Radeon, discrete, 24 GiB, driver 23.2.1, PCIe 4 x16"


def test_a_link_is_as_fast_as_its_slower_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the slot a card has switches of its own."""
    place = tmp_path / "pci0000:00"
    ends = [("00:01.0", "16.0 GT/s PCIe", 16), ("01:00.0", "32.0 GT/s PCIe", 16)]
    for name, speed, lanes in [*ends, ("02:00.0", "2.5 GT/s PCIe", 1)]:
        place /= f"0000:{name}"
        place.mkdir(parents=True)
        (place / "max_link_speed").write_text(f"{speed}\n")
        (place / "max_link_width").write_text(f"{lanes}\n")
    monkeypatch.setattr(pci, "_DEVICES", tmp_path / "devices")
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices" / "0000:02:00.0").symlink_to(place)
    assert pci.pcie_link("0000:02:00.0") == "PCIe 4 x16"
    (place.parent / "max_link_speed").write_text("Unknown\n")
    assert pci.pcie_link("0000:02:00.0") == ""
    assert pci.pcie_link("0000:09:00.0") == ""


def test_real_drivers_are_told_apart(drivers: dict[str, str]) -> None:
    assert [each.kind for each in vulkan_here({}).devices] == ["virtual", "software"]
    program = replace(GPU, is_software=True)
    for profile, name in ((GPU, "mock"), (program, "program")):
        own = seen_variables(profile)
        assert own == {"VK_DRIVER_FILES": drivers[name], "VK_ICD_FILENAMES": drivers[name]}
        assert vulkan_here(own).devices == (vulkan_gpu(profile),)
    facts = gpu_facts(program)
    assert facts is not None
    assert facts.name.startswith("SwiftShader")
    assert vulkan_here({}).devices[1].driver_name.startswith("SwiftShader")


@pytest.mark.usefixtures("drivers")
def test_a_real_loader_chooses_by_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chromium has a newer one of its own; here it has two drivers, each of one model."""
    if not (CHROMIUM / "libvulkan.so.1").exists():
        pytest.skip("Debian's chromium has no loader of its own")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(CHROMIUM))
    first, second = vulkan_here({}).devices
    assert vulkan_here(_by_model(first)).devices == (first,)
    assert vulkan_here(_by_model(second)).devices == (second,)


def test_a_real_program_beside_a_gpu_is_never_taken(
    drivers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to itself the provider takes it: the GPU here computes nothing."""
    require_webgpu(monkeypatch)
    forget()
    python = str(environments_of([ENGINE])[ENGINE].interpreter)
    assert webgpu._asked(python, ()).float32 == ""
    found = device_availability(GPU)
    assert found.reason.startswith(
        "WebGpuExecutionProvider does not run on Vulkan Mock Device, virtual: "
    )
    assert device_availability(replace(GPU, is_software=True)).available
