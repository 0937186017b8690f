"""`farm package --io`: packages that take and give bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.codegen.arithmetic import dequantize, quantize_port
from farm.codegen.build.compilers import find_compilers
from farm.codegen.package.manifest import read_manifest
from farm.codegen.package.record import read_compiled
from farm.codegen.package.reopen import reopen_package
from farm.codegen.program import Quantization
from tests.farm.codegen.lower.test_typed import embedding_net
from tests.models import build, lstm_net, save, value
from tests.tools.command import Command
from tuner.verify.vectors import read_vectors
from workers.engines.cpackage import CPackageSession

HOST = ("package", "model.onnx", "--device", "cpu", "-o", "out", "--data", "data.npz")


def made(farm: Command, *options: str) -> dict[str, Any]:
    ended = farm(*HOST, *options, "--json")
    assert ended.code == 0, ended.err
    manifest: dict[str, Any] = json.loads(ended.out)
    return manifest


@pytest.fixture
def package(farm: Command) -> Path:
    """A package of bytes for the host, in the current folder."""
    made(farm, "--io", "uint8")
    return farm.folder / "out"


@pytest.mark.parametrize(("io", "zero"), [("uint8", 0), ("int8", -128)])
def test_its_callers_give_and_take_bytes(farm, io, zero):
    manifest = made(farm, "--io", io)
    (given,), (told,) = manifest["inputs"], manifest["outputs"]
    assert (given["dtype"], told["dtype"]) == (io, io)
    assert (told["scale"], told["zero_point"]) == (1 / 256, zero), "probabilities"
    assert not any("Not quantised" in note for note in manifest["notes"])
    assert manifest["accuracy"]["value"] > 0.7, "four alike probabilities in steps of 1 / 256"
    package = farm.folder / "out"
    header, readme = ((package / name).read_text() for name in ("model.h", "README.md"))
    scale = float(np.float32(given["scale"]))
    assert f"#define MODEL_INPUT_IMAGE_SCALE {scale.hex()}f " in header
    assert f"#define MODEL_INPUT_IMAGE_ZERO_POINT ({given['zero_point']})\n" in header
    assert f"(void *memory, const {io}_t *input_image, {io}_t *output_scores);" in header
    sign = "+" if given["zero_point"] < 0 else "-"
    distance = abs(given["zero_point"])
    assert f"`image` is (byte {sign} {distance}) * {given['scale']:.9g}\n" in readme
    assert "`MODEL_..._SCALE`, `MODEL_..._ZERO_POINT`" in readme
    ended = farm("package", "verify", "out")
    assert ended.code == 0, ended.out


def test_test_vectors_are_what_the_model_computes(farm, package):
    manifest = read_manifest(package)
    (given,), (told,) = manifest.inputs, manifest.outputs
    session = ort.InferenceSession(farm.folder / "model.onnx")
    for vector in read_vectors(package, manifest):
        (image,), (scores,) = vector.inputs, vector.outputs
        assert image.dtype == scores.dtype == np.uint8
        (expected,) = session.run(None, {"image": dequantize(image, given.quantization)})
        np.testing.assert_allclose(dequantize(scores, told.quantization), expected, atol=0.03)


def test_a_port_that_is_not_quantised_is_told(farm):
    nodes = [make_node("Add", ["x", "far"], ["y"]), make_node("Relu", ["x"], ["z"])]
    far = np.full((1, 8), 1000, np.float32)
    outputs = [value("y", [1, 8]), value("z", [1, 8])]
    save(build(nodes, [value("x", [1, 8])], outputs, {"far": far}), farm.folder, "far.onnx")
    ended = farm("package", "far.onnx", "--device", "cpu", "-o", "out", "--io", "int8")
    assert ended.code == 0, ended.err
    sentence = "Not quantised, so not int8 as was asked for: output 'y' (float32)."
    assert sentence in " ".join(ended.out.split())
    manifest = json.loads((farm.folder / "out" / "manifest.json").read_text())
    assert sentence in manifest["notes"]
    assert [port["dtype"] for port in manifest["outputs"]] == ["float32", "int8"]
    assert manifest["outputs"][0]["scale"] is None
    assert farm("package", "verify", "out").code == 0


@pytest.mark.parametrize("change", [{"scale": 0.5}, {"zero_point": 1}])
def test_a_scale_that_is_another_is_found(farm, package, change):
    path = package / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["outputs"][0] |= change
    path.write_text(json.dumps(manifest))
    ended = farm("package", "verify", "out", "--json")
    assert ended.code == 1
    why = "the scale of output 'scores' in the manifest is not that of model.h"
    assert json.loads(ended.out)["disagreements"] == [why]


def test_packages_of_floats_are_as_before_and_older_ones_agree(farm):
    floats = made(farm)
    assert [p["dtype"] for p in (*floats["inputs"], *floats["outputs"])] == ["float32"] * 2
    assert "SCALE" not in (farm.folder / "out" / "model.h").read_text()
    for port in (*floats["inputs"], *floats["outputs"]):
        assert port.pop("scale") is port.pop("zero_point") is None
    (farm.folder / "out" / "manifest.json").write_text(json.dumps(floats))
    ended = farm("package", "verify", "out")
    assert ended.code == 0, ended.out


def test_the_farm_runs_it_on_the_models_own_numbers(farm, package, tmp_path):
    manifest = read_manifest(package)
    compiler = next(c for c in find_compilers(manifest.target) if c.label == manifest.compiler)
    reopen_package(package, tmp_path, compiler)
    (port,) = read_compiled(tmp_path).inputs
    assert port.quantization == Quantization(port.scale, port.zero_point)
    vector = next(iter(read_vectors(package, manifest)))
    image = dequantize(vector.inputs[0], port.quantization)
    np.testing.assert_array_equal(
        quantize_port(image, port.quantization, "uint8"), vector.inputs[0]
    )
    session = CPackageSession(tmp_path / "runner")
    try:
        (scores,) = session.run({"image": image})
    finally:
        session.close()
    want = dequantize(vector.outputs[0], manifest.outputs[0].quantization)
    np.testing.assert_array_equal(scores, want)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--io", "int16"), "--io takes one of float32, uint8, int8, got 'int16'."),
        (
            ("--io", "int8", "--precision", "float32"),
            "With --precision float32 nothing is quantised; leave out --io.",
        ),
    ],
)
def test_bad_options(farm, options, sentence):
    assert farm.refused(*HOST, *options) == sentence


@pytest.mark.parametrize("device", ["cpu", "dsp"])
def test_ids_and_masks_keep_their_types(farm, device, request):
    if device == "dsp":
        request.getfixturevalue("emulator")
    save(embedding_net(), farm.folder, "ids.onnx")
    random = np.random.default_rng(0)
    data = {
        "ids": random.integers(0, 20, (15, 1, 6)),
        "mask": random.random((15, 1, 6)) < 0.7,
    }
    np.savez(farm.folder / "ids.npz", **data)
    make = ("package", "ids.onnx", "--device", device, "-o", "out", "--data", "ids.npz")
    ended = farm(*make, "--io", "uint8", "--json")
    assert ended.code == 0, ended.err
    manifest = json.loads(ended.out)
    ports = [*manifest["inputs"], *manifest["outputs"]]
    assert [port["dtype"] for port in ports] == ["int64", "bool", "uint8"]
    why = "Not quantised, so not uint8 as was asked for: input 'ids' (int64), input 'mask' (bool)."
    assert why in manifest["notes"]
    assert manifest["accuracy"]["value"] > 0.95
    readme = (farm.folder / "out" / "README.md").read_text()
    assert "`input_mask`: bool (bytes of 0 or 1) [1, 6], row-major" in readme
    header = (farm.folder / "out" / "model.h").read_text()
    assert "const int64_t *input_ids, const uint8_t *input_mask, uint8_t *output_y" in header
    ended = farm("package", "verify", "out")
    assert ended.code == 0, ended.out


def test_a_recurrent_network_in_a_package(farm):
    save(lstm_net(), farm.folder, "lstm.onnx")
    make = ("package", "lstm.onnx", "--device", "cpu", "-o", "out", "--precision", "float32")
    ended = farm(*make, "--json")
    assert ended.code == 0, ended.err
    assert farm("package", "verify", "out").code == 0


def test_a_float_package_of_ids_computes_its_model(farm):
    save(embedding_net(), farm.folder, "ids.onnx")
    make = ("package", "ids.onnx", "--device", "cpu", "-o", "out", "--precision", "float32")
    ended = farm(*make, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["vectors"] == 16
    assert farm("package", "verify", "out").code == 0
