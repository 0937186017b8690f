"""The engines that a device has for packages."""

from __future__ import annotations

from dataclasses import replace

from farm.artifact.engines import package_engines
from farm.candidate import CPackageEmulated
from farm.codegen.build.compilers import find_compilers, host_targets
from farm.devices.profile import load_profiles


def test_of_the_host_begin_with_its_best_target():
    best, *others = host_targets()
    engines = package_engines(load_profiles()["cpu"])
    compilers = [compiler.kind for compiler in find_compilers(best)]
    assert [e.compiler for e in engines if e.target == best] == compilers
    assert [e.target for e in engines if e.target != best] == others
    assert {e.kind for e in engines} == {"cpackage"}


def test_of_a_dsp_is_one():
    profiles = load_profiles()
    assert package_engines(profiles["dsp"]) == (CPackageEmulated(target="hexagon-v67-hvx"),)
    assert package_engines(profiles["dsp-small"]) == (CPackageEmulated(target="hexagon-v67"),)
    assert package_engines(profiles["fake"]) == ()


def test_of_a_dsp_without_figures_there_are_none():
    assert package_engines(replace(load_profiles()["dsp"], package=None)) == ()
