"""What the child that compiles keeps of an engine's profile."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx.helper import make_node
from pydantic import TypeAdapter

from farm.profile.kernels import MODEL_FILE, OPTIMISED_FILE, EngineProfile, Kernel
from tests import models
from workers.child.profiling import map_kernels, write_named
from workers.trials.children import Loading
from workers.trials.profiler import in_copy


def _folder(tmp_path: Path) -> Path:
    """A model of two operators as a workload, compiled as it is and ready to be profiled."""
    nodes = [
        make_node("Relu", ["x"], ["h"], name="first"),
        make_node("Tanh", ["h"], ["y"], name="second"),
    ]
    model = models.build(nodes, [models.value("x", [4])], [models.value("y", [4])], {})
    onnx.save(model, tmp_path / "model.onnx")
    folder = tmp_path / "profile"
    folder.mkdir()
    write_named(tmp_path / "model.onnx", folder)
    return folder


def _mapped(tmp_path: Path, folder: Path, *kernels: Kernel) -> list[tuple[str, tuple[str, ...]]]:
    profile = TypeAdapter(EngineProfile).dump_json(EngineProfile(kernels, 1e-6)).decode()
    rows = map_kernels(tmp_path, tmp_path / "model.onnx", folder, profile)
    return [(row["kernel"], row["operators"]) for row in rows]


def test_a_kernel_of_onnxruntime_that_took_less_than_the_profiler_is_there(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    ran = onnx.load(folder / MODEL_FILE)
    onnx.save(ran, folder / OPTIMISED_FILE)
    first, second = (node.name for node in ran.graph.node)
    kernels = Kernel(first, "Relu", "float32", 1e-6), Kernel(second, "Tanh", "float32", 0.0)
    assert _mapped(tmp_path, folder, *kernels) == [
        ("first", ("first",)),
        ("second", ("second",)),
    ]


def test_operators_of_the_processor_are_named_as_the_copy_has_them(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    first, second = (node.name for node in onnx.load(folder / MODEL_FILE).graph.node)
    again = tmp_path / "again"
    again.mkdir()
    names = write_named(tmp_path / "model.onnx", again)
    assert names == {"first": first, "second": second}
    asked = Loading("onnxruntime", {"provider": "p", "on_cpu": ("second",)})
    named = in_copy(asked, again / MODEL_FILE, names)
    assert named.spec == {"provider": "p", "on_cpu": [second]}
    assert named.model == str(again / MODEL_FILE)
    alone = Loading("openvino", {"device": "GPU"})
    assert in_copy(alone, again / MODEL_FILE, names).spec == alone.spec


def test_what_openvino_lists_and_never_ran_is_not(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    first, second = (node.name for node in onnx.load(folder / MODEL_FILE).graph.node)
    kernels = (
        Kernel("x", "Input", "float32", 0.0),
        Kernel(first, "Eltwise", "float32", 0.0, ("x",), (first,)),
        Kernel(second, "Eltwise", "float32", 1e-6, (first,), (second,)),
    )
    assert _mapped(tmp_path, folder, *kernels) == [("second", ("second",))]
