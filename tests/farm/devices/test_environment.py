"""Environments as their TOML files describe them."""

from __future__ import annotations

import platform
import sys
from dataclasses import replace

import pytest

from farm.devices.environment import (
    environment_from_json,
    load_environments,
    parse_environment,
    select_environment,
)
from farm.errors import DeviceError

HASH = "--hash=sha256:" + 64 * "a"
TEXT = f'''
name = "fast"
description = "A fast engine"
engines = ["onnxruntime-cpu"]
modules = ["fast"]
requirements = """
# a comment
fast==1.2 ; python_version < "4" \\\\
    {HASH} \\\\
    {HASH}  # another file
numpy==2.0 {HASH}
"""
'''


class TestLoad:
    def test_those_that_come_with_the_farm_can_be_installed_somewhere(self):
        found = load_environments()
        assert "onnxruntime-1.24" in found
        assert all(name == each.name and each.description for name, each in found.items())

    def test_a_users_own_beside_the_profiles_win_by_name(self, tmp_path):
        folder = tmp_path / "environments"
        folder.mkdir()
        text = TEXT.replace('"fast"\ndesc', '"onnxruntime-1.24"\ndesc')
        (folder / "own.toml").write_text(text)
        assert load_environments(tmp_path)["onnxruntime-1.24"].description == "A fast engine"
        assert load_environments(tmp_path / "nowhere").keys() == load_environments().keys()

    def test_what_was_written_is_read_again(self):
        environment = parse_environment(TEXT, "here")
        assert environment_from_json(environment.to_json()) == environment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "here is not valid TOML: "),
        (TEXT.replace('name = "fast"', 'name = "../up"'), "here: at name: "),
        (TEXT.replace('["fast"]', '["import os"]'), "here: at modules.0: "),
        (TEXT.replace('["onnxruntime-cpu"]', "[]"), "here: at engines: "),
        (TEXT + "index = 1", "here: at index: Unexpected keyword argument."),
        (
            TEXT.replace(f"numpy==2.0 {HASH}", "numpy>=2"),
            "here: at requirements: 'numpy>=2' is not pinned: expected NAME==VERSION --hash=",
        ),
        (
            TEXT.replace(f"numpy==2.0 {HASH}", f"numpy==2.0 {HASH} --config-settings=x"),
            "here: at requirements: 'numpy==2.0' is not pinned",
        ),
        (TEXT.replace("numpy==2.0", "numpy>=2"), "requirements: 'numpy>=2' is not pinned"),
        (TEXT.replace("numpy==2.0", "numpy"), "requirements: 'numpy' is not pinned"),
        (TEXT.replace("numpy==2.0", "numpy==2.*"), "requirements: 'numpy==2.*' is not pinned"),
        (TEXT.replace("numpy==2.0", "numpy==2.0,<3"), "requirements: 'numpy==2.0,<3' is not p"),
        (
            TEXT.replace('"onnxruntime-cpu"', '"onnxruntime-cppu"'),
            "'onnxruntime-cppu' is no kind of engine. Did you mean onnxruntime-cpu",
        ),
        (
            TEXT.replace("# a comment", "--index-url somewhere"),
            "here: at requirements: '--index-url somewhere' is an option of pip",
        ),
    ],
)
def test_a_malformed_one_says_where(text, message):
    with pytest.raises(DeviceError) as caught:
        parse_environment(text, "here")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "pinned",
    [
        "numpy == 2.0",
        "numpy===2.0",
        "numpy[extra]==2.0+cpu ; python_version < '4'",
        "numpy @ file:///a/numpy-2.0-py3-none-any.whl",
    ],
)
def test_ways_to_pin(pinned):
    assert pinned in parse_environment(TEXT.replace("numpy==2.0", pinned), "here").requirements


def test_the_digest_is_of_what_is_installed():
    environment = parse_environment(TEXT, "here")
    renamed = replace(environment, name="quick", description="Another")
    commented = replace(environment, requirements="# more\n" + environment.requirements)
    assert {renamed.digest, commented.digest} == {environment.digest}
    other = replace(environment, requirements=environment.requirements.replace("2.0", "2.1"))
    assert other.digest != environment.digest
    assert replace(environment, engines=("openvino",)).digest != environment.digest


def test_what_it_is_for():
    environment = parse_environment(TEXT, "here")
    assert environment.unsuited == ""
    here = replace(environment, systems=(sys.platform,), processors=(platform.machine(),))
    assert here.unsuited == ""
    elsewhere = replace(here, processors=("z80", "pdp11"))
    assert elsewhere.unsuited == (
        f"it is for the processor z80 or pdp11, and this is {platform.machine()}"
    )


def test_an_unknown_one_with_the_nearest_names():
    known = {"fast": parse_environment(TEXT, "here")}
    assert select_environment("fast", known) is known["fast"]
    with pytest.raises(DeviceError) as caught:
        select_environment("fsat", known)
    assert str(caught.value).startswith(
        "Unknown environment 'fsat'. Did you mean fast? Known environments: fast."
    )
    with pytest.raises(DeviceError, match=r"^Unknown environment 'x'\. Known environments: none"):
        select_environment("x", {})
