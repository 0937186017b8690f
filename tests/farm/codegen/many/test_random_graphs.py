"""Random graphs through the farm: a few of those of ``benchmarks/packages/random_graphs.py``.

And what looks at them, looked at: each check must see what it is there for.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks.packages.graphs.agreement import float_error, hidden_loss, noise
from benchmarks.packages.graphs.arena import replay
from benchmarks.packages.graphs.cases import unlike_reference
from benchmarks.packages.graphs.examine import Commands, Fault, examine
from benchmarks.packages.graphs.maker import float_session
from benchmarks.packages.graphs.programs import Run, run_cases
from benchmarks.packages.graphs.sentences import unclean
from benchmarks.packages.graphs.subjects import NAMES, subject_of
from farm.accuracy.result import AccuracyResult
from farm.codegen.build.compilers import Target

PLAIN = (0, 1, 2, 3, 14, 21)
"""Seeds of plain models, of every kind."""


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subjects")
    return [examine(subject_of(seed), folder, Commands()) for seed in PLAIN]


@pytest.fixture(scope="module")
def cases(examined):
    return [each.case for each in examined if each.case is not None]


@pytest.fixture(scope="module")
def run(cases, tmp_path_factory) -> Run:
    return run_cases(cases, Target.PORTABLE, tmp_path_factory.mktemp("portable"))


def test_a_seed_always_gives_the_same_subject():
    first, again, other = subject_of(6), subject_of(6), subject_of(7)
    assert first.model == again.model != other.model
    assert first.name == again.name == "seed 6, int8, an output that is read"
    assert all(
        np.array_equal(a["x0"], b["x0"]) for a, b in zip(first.feeds(), again.feeds(), strict=True)
    )


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_every_twist_gives_models_that_onnx_runtime_takes(number):
    subject = subject_of(10 * number + 9)
    assert subject.twist == NAMES[number]
    outputs = float_session(subject.model).run(None, subject.feeds(1)[0])
    assert len(outputs) == len(subject.model.graph.output)


def test_plain_models_show_nothing(examined):
    assert [finding for each in examined for finding in each.findings] == []


def test_generated_c_is_numpy(cases, run):
    found = {
        case.name: unlike_reference(case, case.references(), outputs)
        for case, outputs in zip(cases, run.outputs, strict=True)
    }
    assert len(found) >= 5
    assert found == dict.fromkeys(found, "")


def test_packages_keep_to_their_memory_and_repeat_themselves(run):
    assert run.faults == {}


def test_a_single_bit_is_found(cases):
    case = next(case for case in cases if case.is_exact)
    references, outputs = case.references(), case.references()
    outputs[0][0].reshape(-1)[:1] += 1e-6
    assert "elements of" in unlike_reference(case, references, outputs)


def test_an_output_that_is_overwritten_is_found():
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [6])  # noqa: E731
    nodes = [helper.make_node("Relu", ["x"], ["r"], "relu"), helper.make_node("Neg", ["r"], ["y"])]
    graph = helper.make_graph(nodes, "two", [value("x")], [value("r"), value("y")])
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    feed = {"x": np.arange(6, dtype=np.float32)}
    assert replay(model, {"x": 0, "r": 0, "y": 24}, 48, feed) == ""
    assert replay(model, {"x": 24, "r": 0, "y": 0}, 48, feed) == "output 'r' is overwritten"
    expected = "tensor 'x' is overwritten before operator 'add' reads it"
    model.graph.node.append(helper.make_node("Add", ["x", "y"], ["z"], "add"))
    assert replay(model, {"x": 0, "r": 24, "y": 0, "z": 48}, 72, feed) == expected


def test_noise_is_that_of_channels_about_their_means():
    random = np.random.default_rng(0)
    wanted = 1000 + random.standard_normal((50, 1, 1))
    assert noise(wanted, wanted) == 0
    assert noise(wanted, np.full_like(wanted, 1000.0)) == pytest.approx(1, abs=0.1)
    assert float_error(wanted, np.full_like(wanted, 1000.0)) > 0.1


def test_nan_must_be_where_it_is_wanted():
    wanted = np.array([[1.0, np.nan, np.inf]])
    assert noise(wanted, wanted) == 0
    for index, value in ((0, np.nan), (1, 0.0), (2, -np.inf)):
        found = wanted.copy()
        found[0, index] = value
        assert noise(wanted, found) == float_error(wanted, found) == np.inf


def test_what_accuracy_does_not_see_is_a_finding(monkeypatch):
    monkeypatch.setattr(
        "benchmarks.packages.graphs.agreement.accuracy",
        lambda *_: AccuracyResult("agreement", 1.0, samples=20),
    )
    random = np.random.default_rng(0)
    wanted = random.standard_normal((20, 1, 4, 30))
    found = wanted.copy()
    assert hidden_loss([wanted], [found]) == ""
    found[:, :, 2:] = 0
    expected = "accuracy is 1.0000, and noise is in 2 of 4 channels of output 0"
    assert hidden_loss([wanted], [found]) == expected


@pytest.mark.parametrize(
    ("message", "lack"),
    [
        ("Model a.onnx uses operator set 6.", ""),
        ("", "it is empty"),
        ("An operator a\rb.", "it has characters that cannot be printed"),
        ("No full stop", "it does not end like a sentence"),
        ("They differ; this is a fault of the compiler.", "it blames the code generator"),
        ("Pass x failed: convert.h:96: wrong.", "it leaks 't.h' of some tool"),
        ("ValueError: shapes.", "it leaks 'ValueError' of some tool"),
        ("It is dynamic: give --shape.", "it advises --shape, and no dimension is dynamic"),
    ],
)
def test_sentences_are_told_from_leaks(message, lack):
    assert unclean(message, is_dynamic=False) == lack


def test_an_exception_is_a_finding(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("benchmarks.packages.graphs.examine.load_model", broken)
    monkeypatch.setattr("benchmarks.packages.graphs.examine.package_faults", lambda *_: [])
    (finding,) = examine(subject_of(1), tmp_path, Commands()).findings
    assert finding.fault is Fault.CRASHED
    assert finding.detail.startswith("ZeroDivisionError: by nothing at ")


def test_a_finding_can_be_reproduced_from_what_is_kept(tmp_path):
    subject = subject_of(6)
    path, data = subject.save(tmp_path)
    assert onnx.load(path) == subject.model
    with np.load(data) as samples:
        assert np.array_equal(samples["x0"][:8], np.stack([f["x0"] for f in subject.feeds()]))
