"""Device profiles: those that come with the farm, the user's own, and malformed ones."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from farm.codegen.build.compilers import Target
from farm.devices.profile import (
    DeviceKind,
    PackageFigures,
    load_profiles,
    parse_profile,
    select_profiles,
)
from farm.errors import DeviceError

PROFILE = """
name = "board"
kind = "cpu"
description = "A board"
engines = ["onnxruntime-cpu"]
"""
PACKAGE = """
[package]
target = "host"
source = "none"
"""


class TestLoad:
    def test_what_comes_with_the_farm(self):
        profiles = load_profiles()
        assert {"cpu", "gpu", "gpu-intel", "gpu-vulkan", "dsp", "dsp-small", "fake"} <= set(
            profiles
        )
        assert all(name == profile.name for name, profile in profiles.items())
        assert profiles["cpu"].engines[0] == "onnxruntime-cpu", "the baseline's engine"
        assert profiles["fake"].is_fake
        assert not profiles["cpu"].is_fake

    def test_power_figures_name_their_source(self):
        for profile in load_profiles().values():
            assert profile.power is None or profile.power.source.strip()

    def test_a_profile_of_the_users_wins_by_name(self, tmp_path):
        (tmp_path / "own.toml").write_text(PROFILE.replace('"board"', '"cpu"'))
        (tmp_path / "notes.txt").write_text("not a profile")
        assert load_profiles(tmp_path)["cpu"].description == "A board"
        assert load_profiles(tmp_path / "nowhere").keys() == load_profiles().keys()

    def test_a_profile_of_the_users_that_cannot_be_read(self, tmp_path):
        (tmp_path / "bad.toml").write_bytes(b"name = '\xff'")
        with pytest.raises(DeviceError, match=r"bad\.toml cannot be read: "):
            load_profiles(tmp_path)

    def test_defaults(self):
        profile = parse_profile(PROFILE, "here")
        assert profile.kind is DeviceKind.CPU
        assert (profile.interpreter, profile.memory_bytes, profile.power) == ("", 0, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "Device profile here is not valid TOML: "),
        (PROFILE.replace('name = "board"', ""), "Device profile here: at name: Field required."),
        (PROFILE + "clock = 1", "Device profile here: at clock: Unexpected keyword argument."),
        (PROFILE.replace('"cpu"', '"toaster"'), "at kind: Input should be 'cpu', 'gpu' or 'dsp'."),
        (PROFILE.replace('["onnxruntime-cpu"]', "3"), "at engines: "),
        (PROFILE + "[power]\nstatic_watts = 'much'", "at power.static_watts: "),
        (
            PROFILE + PACKAGE + "arena_bytes = -1",
            "at package.arena_bytes: Input should be greater",
        ),
        (PROFILE + PACKAGE + "cycles_per_packet = 0.5", "at package.cycles_per_packet: "),
        (PROFILE + PACKAGE.replace("host", "z80"), "at package.target: Input should be 'host', "),
        (PROFILE + '[variables]\n"A=B" = "1"', "at variables.A=B"),
        (PROFILE + "[variables]\nA = 1", "at variables.A: Input should be a valid string."),
    ],
)
def test_a_malformed_profile_says_where(text, message):
    with pytest.raises(DeviceError) as caught:
        parse_profile(text, "here")
    assert message in str(caught.value)


def test_what_is_software_says_so():
    profiles = load_profiles()
    assert [name for name, profile in profiles.items() if profile.caveat] == ["gpu-software"]
    assert profiles["gpu-software"].caveat == (
        "gpu-software is no GPU, but a program on this machine's processor: what it takes says "
        "nothing of a GPU."
    )


class TestPackage:
    def test_what_comes_with_the_farm(self):
        profiles = load_profiles()
        large, small = profiles["dsp"].package, profiles["dsp-small"].package
        assert large is not None
        assert small is not None
        assert (large.target, small.target) == ("hexagon-v67-hvx", "hexagon-v67")
        assert (small.arena_bytes, small.weight_bytes) == (64 << 10, 256 << 10)
        assert all(text in large.source for text in ("clock_hz: ", "arena_bytes: ", "target: "))

    def test_its_targets_are_those_of_the_compilers(self):
        offered = get_args(get_type_hints(PackageFigures)["target"])
        assert set(offered) - {"host"} == {t.value for t in Target if t.is_hexagon}

    def test_seconds_of_packets(self):
        figures = PackageFigures("hexagon-v67", "here", clock_hz=1e6, cycles_per_packet=2.0)
        assert figures.seconds(500) == pytest.approx(1e-3)

    def test_seconds_without_a_clock(self):
        package = parse_profile(PROFILE + PACKAGE, "here").package
        assert package is not None
        assert package.arena_bytes == 0
        with pytest.raises(DeviceError, match=r"gives no clock_hz in \[package\]"):
            package.seconds(1)


class TestSelect:
    def test_in_the_order_they_were_named_each_once(self):
        chosen = select_profiles(["gpu", " cpu", "gpu", ""], load_profiles())
        assert [profile.name for profile in chosen] == ["gpu", "cpu"]

    def test_an_unknown_one_with_the_nearest_names(self):
        with pytest.raises(DeviceError) as caught:
            select_profiles(["gpus"], load_profiles())
        assert str(caught.value).startswith("Unknown device 'gpus'. Did you mean gpu")
        known = "Known devices: cpu, dsp, dsp-small, gpu, gpu-intel, gpu-software, gpu-vulkan."
        assert known in str(caught.value)

    def test_one_that_is_like_nothing(self):
        with pytest.raises(DeviceError, match=r"^Unknown device 'quantum'\. Known devices: "):
            select_profiles(["quantum"], load_profiles())

    def test_the_fake_device_is_not_offered_but_can_be_asked_for(self):
        with pytest.raises(DeviceError) as caught:
            select_profiles(["fak"], load_profiles())
        assert "fake" not in str(caught.value)
        assert select_profiles(["fake"], load_profiles())[0].is_fake

    def test_none(self):
        with pytest.raises(DeviceError, match=r"No device was named\. Give at least one"):
            select_profiles([" "], load_profiles())


LINK = """
[links.caller]
call_seconds = 3e-4
tensor_seconds = 5e-6
bytes_per_second = 10e9
source = "tests"
"""


class TestLinks:
    def test_borders_that_cannot_be_measured(self):
        link = parse_profile(PROFILE + LINK, "board.toml").links["caller"]
        assert (link.call_seconds, link.tensor_seconds, link.bytes_per_second) == (
            3e-4,
            5e-6,
            1e10,
        )

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ('source = "tests"', "", "links.caller.source: Field required"),
            ("call_seconds = 3e-4", "call_seconds = -1", "links.caller.call_seconds"),
            ("bytes_per_second = 10e9", "bytes_per_second = 0", "links.caller.bytes_per_second"),
            ("tensor_seconds = 5e-6", "tensor_seconds = inf", "links.caller.tensor_seconds"),
            ("call_seconds", "call_second", "links.caller.call_second"),
        ],
    )
    def test_links_that_are_malformed(self, old: str, new: str, said: str):
        with pytest.raises(DeviceError, match=f"Device profile board.toml: at {said}"):
            parse_profile(PROFILE + LINK.replace(old, new), "board.toml")

    def test_emulated_devices_that_come_with_the_farm_have_them(self):
        profiles = load_profiles()
        assert all("caller" in profiles[name].links for name in ("dsp", "dsp-small"))
