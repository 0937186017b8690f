"""The delivered folder: it runs elsewhere as it was measured, and it is whole or not there."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto
from onnx.helper import make_node

from farm.artifact.compiler import compile_candidate
from farm.candidate import (
    Candidate,
    GraphLevel,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeWebGpu,
    OpenVino,
    OpenVinoRuntime,
    Precision,
    StaticInt8,
)
from farm.compile.batch import Batched
from farm.delivery.files import stranger, write_files
from farm.delivery.winner import write_delivery
from farm.model.model import load_model
from farm.session.of_candidate import session_spec
from farm.session.spec import SessionSpec
from tests import models
from tests.openvino import require_openvino


def deliver(
    folder: Path,
    proto: ModelProto,
    session: SessionSpec,
    provenance: str = "{}",
    *,
    confirmed: bool = True,
    **shapes: int,
) -> None:
    source = folder.parent / "source"
    source.mkdir(exist_ok=True)
    model = load_model(models.save(proto, source), shapes)
    content = model.proto.SerializeToString()
    write_delivery(
        folder, content, session, model.inputs, provenance, model.shapes, confirmed=confirmed
    )


def run(folder: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """As its new owner would: from elsewhere, without the farm on the path."""
    return subprocess.run(
        [sys.executable, "-I", str(folder / "run.py"), *map(str, arguments)],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_run_py_says_in_a_sentence_that_the_session_does_not_start(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    deliver(folder, models.mlp(), session_spec(Candidate()))
    (folder / "model.onnx").write_bytes(b"another")
    done = run(folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (told,) = done.stderr.splitlines()
    assert told.startswith("The model cannot be loaded with CPUExecutionProvider here: ")


def test_run_py_says_it_in_no_words_of_cpp(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    deliver(folder, models.mlp(), session_spec(Candidate()))
    failing = (
        "import onnxruntime as ort\n"
        "def failing(*given, **named):\n"
        "    raise RuntimeError('/onnxruntime_src/core/x.cc:65 void ort::Init(int)::<lambda()>::"
        "<lambda(int)> status == Success was false. No supported adapters')\n"
        "ort.InferenceSession = failing\n"
    )
    told = (folder / "run.py").read_text().replace("import onnxruntime as ort\n", failing, 1)
    (folder / "run.py").write_text(told)
    assert run(folder).stderr == (
        "The model cannot be loaded with CPUExecutionProvider here: No supported adapters\n"
    )


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate(),
        Candidate(
            OnnxRuntimeCpu(
                threads=1,
                spinning=False,
                memory_pattern=False,
                graph_level=GraphLevel.EXTENDED,
                disabled_optimizers=("ConvActivationFusion",),
            )
        ),
        Candidate(
            OnnxRuntimeCpu(
                threads=2, spin_microseconds=20, memory_arena=False, denormals_as_zero=True
            )
        ),
        Candidate(OpenVino(threads=1)),
        Candidate(OpenVinoRuntime(threads=1, hint="throughput", streams=1, pinning=False)),
    ],
    ids=lambda candidate: candidate.label(),
)
def test_run_py_prints_the_outputs(tmp_path, candidate):
    if isinstance(candidate.engine, OpenVino | OpenVinoRuntime):
        require_openvino(candidate.engine.kind)
    folder = tmp_path / "out" / "cpu"
    folder.parent.mkdir()
    deliver(folder, models.conv_net(), session_spec(candidate))
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "scores (1, 4) float32\n"


def test_a_batch_that_was_fixed_is_told_and_others_are_refused(tmp_path):
    node = make_node("Relu", ["x"], ["y"])
    ends = [models.value("x", ["batch", 4])], [models.value("y", ["batch", 4])]
    deliver(tmp_path / "out", models.build([node], *ends, {}), session_spec(Candidate()))
    for batch, expected in ((1, "y (1, 4) float32\n"), (2, "")):
        np.savez(tmp_path / "data.npz", x=np.ones((batch, 4), np.float32))
        done = run(tmp_path / "out", tmp_path / "data.npz")
        assert done.stdout == expected
        told, *refused = done.stderr.splitlines()
        assert told == "The model's dynamic dimension is fixed: 'batch' to 1."
        sentence = "Input 'x' takes float32 [1, 4], and it was given float32 [2, 4]."
        assert refused == ([] if batch == 1 else [sentence])


def test_callers_are_told(tmp_path):
    model = load_model(models.save(models.conv_net(), tmp_path))
    session, content = session_spec(Candidate()), model.proto.SerializeToString()
    write_delivery(tmp_path / "out", content, session, model.inputs, "{}", callers=3)
    done = run(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "It was measured with 3 callers at the same time.\n"


def test_a_batch_is_what_run_py_takes(tmp_path):
    model = load_model(models.save(models.conv_net(), tmp_path))
    content = Batched(3)(model.proto).model.SerializeToString()
    session = session_spec(Candidate())
    write_delivery(tmp_path / "out", content, session, model.inputs, "{}", batch=3)
    done = run(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "scores (3, 4) float32\n"


def test_names_move_no_cursor(tmp_path):
    node = make_node("Relu", ["x"], ["y\x1b[31m"])
    ends = [models.value("x", ["n\r", 4])], [models.value("y\x1b[31m", ["n\r", 4])]
    proto = models.build([node], *ends, {})
    deliver(tmp_path / "out", proto, session_spec(Candidate()), **{"n\r": 2})
    done = run(tmp_path / "out")
    assert done.stdout == "'y\\x1b[31m' (2, 4) float32\n"
    assert done.stderr == "The model's dynamic dimension is fixed: 'n\\r' to 2.\n"


def test_inputs_of_every_type(tmp_path):
    deliver(tmp_path / "out", models.branching_net(), session_spec(Candidate()))
    done = run(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "y (1, 4) float32\n"


def test_it_does_not_run_on_another_engine(tmp_path):
    """What was measured is what runs, or nothing does."""
    require_openvino()
    session = SessionSpec(
        "OpenVINOExecutionProvider",
        plugin="onnxruntime_ep_openvino",
        provider_options={"load_config": "{"},
    )
    deliver(tmp_path / "out", models.mlp(), session)
    done = run(tmp_path / "out")
    assert done.returncode != 0
    assert done.stdout == ""
    assert "JSON parsing error" in done.stderr


@pytest.mark.parametrize(
    ("engine", "package"),
    [(OnnxRuntimeCuda(), "onnxruntime-gpu"), (OnnxRuntimeWebGpu(), "onnxruntime-webgpu")],
)
def test_the_package_that_it_needs_is_named(tmp_path, engine, package):
    deliver(tmp_path / "out", models.mlp(), session_spec(Candidate(engine)))
    done = run(tmp_path / "out")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.endswith(f"a Python that has {package} in place of onnxruntime.\n")


def test_the_plugin_that_it_needs_is_named(tmp_path):
    session = session_spec(Candidate(OpenVino()))
    deliver(tmp_path / "out", models.mlp(), replace(session, plugin="onnxruntime_ep_nowhere"))
    done = run(tmp_path / "out")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == (
        "It was measured with the Python package onnxruntime-ep-nowhere, which is not installed "
        "here.\n"
    )


def test_it_does_not_run_partly_on_another_engine(tmp_path):
    require_openvino()
    node = make_node("Det", ["x"], ["y"])
    proto = models.build([node], [models.value("x", [1, 4, 4])], [models.value("y", [1])], {})
    deliver(tmp_path / "out", proto, session_spec(Candidate(OpenVino())))
    done = run(tmp_path / "out")
    assert done.returncode != 0
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("differs", "says"),
    [({"float_type": "bf16"}, "than bf16: Conv"), ({"integers": "needed"}, "in int8: Conv")],
)
def test_it_computes_as_it_did_or_not_at_all(tmp_path, differs, says):
    """The rule that its trial was judged by."""
    pytest.importorskip("openvino")
    session = session_spec(Candidate(OpenVinoRuntime(threads=1)))
    deliver(tmp_path / "out", models.conv_net(), replace(session, **differs))
    done = run(tmp_path / "out")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "as it did where this was measured. OpenVINO computes " in done.stderr
    assert says in done.stderr


def test_integers_that_were_not_measured_are_refused(tmp_path):
    pytest.importorskip("openvino")
    proto, source = models.conv_net(), tmp_path / "quantised"
    source.mkdir()
    random = np.random.default_rng(0)
    shapes = {i.name: i.shape for i in load_model(models.save(proto, source)).inputs}
    data = [{n: random.random(s).astype(np.float32) for n, s in shapes.items()} for _ in range(2)]
    candidate = Candidate(OpenVinoRuntime(threads=1), Precision(quantization=StaticInt8()))
    compile_candidate(proto, candidate, data, source)
    quantised = load_model(source / "model.onnx").proto
    deliver(tmp_path / "right", quantised, session_spec(candidate))
    assert run(tmp_path / "right").returncode == 0
    deliver(tmp_path / "wrong", quantised, session_spec(Candidate(OpenVinoRuntime(threads=1))))
    assert "in another precision than f32: Conv" in run(tmp_path / "wrong").stderr


def test_the_folder_has_what_it_needs(tmp_path):
    folder, session = tmp_path / "out", session_spec(Candidate())
    deliver(folder, models.mlp(), session, '{"run": "r"}')
    names = {"model.onnx", "session.json", "run.py", "provenance.json", "SHA256SUMS"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "session.json").read_text() == session.to_json()
    assert json.loads((folder / "provenance.json").read_text()) == {"run": "r"}
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_folder_of_an_earlier_invocation_is_replaced(tmp_path):
    folder = tmp_path / "out"
    deliver(folder, models.mlp(), session_spec(Candidate()), "1", confirmed=False)
    assert "not confirmed" in (folder / "NOT-CONFIRMED.txt").read_text()
    deliver(folder, models.mlp(), session_spec(Candidate()), "2")
    assert (folder / "provenance.json").read_text() == "2"
    assert not (folder / "NOT-CONFIRMED.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_what_the_farm_did_not_write_is_never_deleted(tmp_path):
    """It may be the owner's only copy; the name of a file of ours does not make it ours."""
    folder = tmp_path / "out"
    deliver(folder, models.mlp(), session_spec(Candidate()), "1")
    for name in ("left-over", "deeper/model.onnx"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"holds {name}, which the farm did not write"):
            deliver(folder, models.mlp(), session_spec(Candidate()), "2")
        assert (folder / name).read_text() == "mine"
        assert (folder / "provenance.json").read_text() == "1"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
        (folder / name).unlink()
    (folder / "deeper").rmdir()
    (folder / "model.onnx").rename(folder / "mine.onnx")
    (folder / "link").symlink_to(tmp_path / "source")
    assert stranger(folder) == "link"
    (folder / "link").unlink()
    assert stranger(folder) == "mine.onnx"


def test_a_delivery_of_an_earlier_version_is_known_by_its_names(tmp_path):
    write_files(tmp_path / "out", {"model.onnx": b"m", "provenance.json": b"{}"})
    (tmp_path / "out" / "SHA256SUMS").unlink()
    assert stranger(tmp_path / "out") == ""
    (tmp_path / "out" / "provenance.json").unlink()
    assert stranger(tmp_path / "out") == "model.onnx", "without a record it is anyone's"
    package = {"manifest.json", "model.c", "kernels/pool.h", "test_vectors/replies.bin"}
    write_files(tmp_path / "dsp", dict.fromkeys({*package, "provenance.json"}, b""))
    (tmp_path / "dsp" / "SHA256SUMS").unlink()
    (tmp_path / "dsp" / "model.o").write_text("what make leaves")
    assert stranger(tmp_path / "dsp") == ""
    (tmp_path / "dsp" / "kernels" / "mine.txt").write_text("mine")
    assert stranger(tmp_path / "dsp") == "kernels/mine.txt"


def test_programs_may_be_executed(tmp_path):
    write_files(tmp_path / "dsp", {"model.elf": b"\x7fELF", "model.c": b""})
    assert (tmp_path / "dsp" / "model.elf").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "dsp" / "model.c").stat().st_mode & 0o111


def test_other_programs_can_check_what_was_delivered(tmp_path):
    folder = tmp_path / "out"
    deliver(folder, models.mlp(), session_spec(Candidate()))
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(check, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == 4


class TestFailure:
    def test_a_parent_that_is_a_file(self, tmp_path):
        (tmp_path / "parent").write_text("in the way")
        with pytest.raises(OSError, match="parent"):
            write_delivery(tmp_path / "parent" / "out", b"", session_spec(Candidate()), [], "{}")
        assert [path.name for path in tmp_path.iterdir()] == ["parent"]

    def test_a_place_that_is_a_file(self, tmp_path):
        (tmp_path / "out").write_text("the user's")
        with pytest.raises(OSError, match="out"):
            write_delivery(tmp_path / "out", b"", session_spec(Candidate()), [], "{}")
        assert (tmp_path / "out").read_text() == "the user's"
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_an_earlier_folder_stays_when_the_new_one_cannot_be_written(self, tmp_path):
        folder = tmp_path / "out"
        deliver(folder, models.mlp(), session_spec(Candidate()), "1")
        with pytest.raises(UnicodeEncodeError):
            deliver(folder, models.mlp(), session_spec(Candidate()), "\ud800")
        assert (folder / "provenance.json").read_text() == "1"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
