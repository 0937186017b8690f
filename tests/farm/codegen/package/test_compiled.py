"""Compiled packages: their records, the limits of devices, and what is too large."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from farm.codegen.build.compilers import Target, default_compiler
from farm.codegen.build.toolchain import build_library
from farm.codegen.generate import generate
from farm.codegen.package import compiled as module
from farm.codegen.package.compiled import compile_package
from farm.codegen.package.record import (
    EMULATED_FILE,
    PACKAGE_FILE,
    RUNNER_FILE,
    Packets,
    excess,
    manifest_of,
    read_compiled,
    sources_sha256,
)
from farm.codegen.package.write import LIBRARY_FILE
from farm.compile.prepare import prepare
from farm.devices.profile import PackageFigures
from farm.errors import CompileError
from tests.workers.samples import named_conv_net
from workers.engines.runner import RunnerProcess

HVX = Target.HEXAGON_HVX


@pytest.fixture(scope="module")
def generation():
    return generate(prepare(named_conv_net()).model, "test")


@pytest.fixture(scope="module")
def folder(generation, tmp_path_factory):
    place = tmp_path_factory.mktemp("compiled")
    compile_package(place, generation, HVX, default_compiler(HVX))
    return place


def figures(**limits):
    return PackageFigures("hexagon-v67-hvx", "invented", **limits)


def test_the_folder_has_sources_the_library_and_programs(folder, tmp_path):
    names = {path.name for path in folder.iterdir()}
    assert names >= {"model.c", "model.h", "weights.c", "weights.h", "kernels"}
    assert names >= {RUNNER_FILE, EMULATED_FILE, PACKAGE_FILE}
    alone = build_library(folder, HVX, tmp_path / LIBRARY_FILE, default_compiler(HVX))
    assert (folder / LIBRARY_FILE).read_bytes() == alone.path.read_bytes()


def test_a_host_package_has_one_program(generation, tmp_path):
    target = Target.PORTABLE
    compiled = compile_package(tmp_path, generation, target, default_compiler(target))
    assert not (tmp_path / EMULATED_FILE).exists()
    assert compiled.modelled == Packets()


def test_the_record(folder, generation):
    compiled = read_compiled(folder)
    assert compiled.target is HVX
    assert compiled.compiler == default_compiler(HVX).label
    assert compiled.arena_bytes == generation.storage.arena_bytes >= compiled.arena_lower_bound
    assert compiled.memory_bytes >= compiled.working_bytes
    assert compiled.weight_bytes >= 4 * (8 * 27 + 8 + 72 + 32 + 4)
    assert 500 < compiled.code_bytes < 60_000
    assert compiled.macs == generation.program.macs
    assert [(p.name, p.shape) for p in compiled.inputs] == [("image", (1, 3, 16, 16))]
    assert [(p.name, p.dtype) for p in compiled.outputs] == [("scores", "float32")]
    assert compiled.sha256 == sources_sha256(folder)
    assert compiled.heaviest_operator == "Conv_0"
    assert json.loads((folder / PACKAGE_FILE).read_text())["target"] == "hexagon-v67-hvx"


def test_limits(folder):
    compiled = read_compiled(folder)
    arena, weights = compiled.working_bytes, compiled.weight_bytes
    assert excess(figures(), compiled) == "", "no limits"
    roomy = {"arena_bytes": arena, "weight_bytes": weights, "code_bytes": compiled.code_bytes}
    assert excess(figures(**roomy), compiled) == "", "exactly full"
    broken = excess(figures(arena_bytes=arena - 3), compiled)
    assert broken.startswith("Its arena and scratch memory need ")
    assert ", 3 bytes more than the device's " in broken
    assert broken.endswith(f"most is needed at operator {compiled.binding_operator!r}.")
    broken = excess(figures(weight_bytes=weights - 5), compiled)
    assert ", 5 bytes more than the device's " in broken
    assert broken.endswith("most belong to operator 'Conv_0'.")
    broken = excess(figures(code_bytes=compiled.code_bytes - 1), compiled)
    assert broken.startswith("Its code needs ")
    assert ", 1 bytes more than the device's " in broken


def test_too_many_weights_are_not_compiled(generation, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_WEIGHTS", 1024)
    with pytest.raises(CompileError, match=r"Its weights need .*; packages are made of models"):
        compile_package(tmp_path, generation, HVX, default_compiler(HVX))
    assert not any(tmp_path.iterdir())


def test_a_manifest_of_it(folder):
    compiled = replace(read_compiled(folder), notes=("So it is.",))
    manifest = manifest_of(
        compiled,
        model_sha256="ab" * 32,
        profile="dsp",
        precision="float32",
        packets=12,
        accuracy=None,
        vectors=16,
    )
    assert (manifest.packets, manifest.target, manifest.notes) == (12, HVX, ("So it is.",))
    assert manifest.code_bytes == compiled.code_bytes


@pytest.mark.usefixtures("emulator")
def test_modelled_packets_are_near_those_that_are_counted(folder):
    runner = RunnerProcess(folder / EMULATED_FILE, HVX)
    counted = runner.count(1).packets
    runner.close()
    assert counted / 1.3 < read_compiled(folder).modelled.all < counted * 1.3
