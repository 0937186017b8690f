"""Which differences between outputs are forgiven."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from farm.codegen.program import Element, Tensor
from farm.errors import CompileError, GeneratorFault
from tests.models import build, value
from workers.child.agreement import require_equal, require_faithful, require_near

NAN, INF = np.nan, np.inf
SAMPLES = [{"x": np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8) * k} for k in (1, 2)]
OUTPUTS = [Tensor("y", (1, 8), Element.F32)]


def rows(*values: float) -> list[tuple[np.ndarray]]:
    return [(np.array(values, np.float32),)]


def test_values_that_are_not_finite_agree_with_their_like():
    require_equal(rows(NAN, INF, 1), rows(-NAN, INF, 1), "A and B")
    require_near(rows(NAN, -INF, 1), rows(NAN, -INF, 1), "A and B")
    for other in ((NAN, 1), (1, NAN), (INF, 1), (-INF, INF)):
        with pytest.raises(GeneratorFault, match="1 of 3 elements are NaN or infinite in one"):
            require_near(rows(other[0], 1, 2), rows(other[1], 1, 2), "A and B")
        with pytest.raises(GeneratorFault, match="A and B differ in output 0 of test vector 0"):
            require_equal(rows(other[0]), rows(other[1]), "A and B")


def test_beside_them_the_rest_must_be_near():
    with pytest.raises(GeneratorFault, match=r"output 0 by 100\.0% of its size"):
        require_near(rows(NAN, 2), rows(NAN, 1), "A and B")


def model(*nodes, constant: float = 0.0) -> onnx.ModelProto:
    stored = {"c": np.array([constant], np.float32)}
    return build(nodes, [value("x", [1, 8])], [value("y", [1, 8])], stored)


def check(proto: onnx.ModelProto, change) -> None:
    """Compare a model's own outputs, changed, with the model."""
    run = onnx.reference.ReferenceEvaluator(proto)
    with np.errstate(all="ignore"):
        answers = [(change(run.run(None, s)[0]).astype(np.float32),) for s in SAMPLES]
    require_faithful(proto, OUTPUTS, SAMPLES, answers)


def test_a_tenth_of_a_thousandth_of_the_range_is_rounding():
    proto = model(make_node("Sin", ["x"], ["y"]))
    check(proto, lambda y: y + 1e-4)
    with pytest.raises(GeneratorFault) as caught:
        check(proto, lambda y: y + 2e-3)
    assert str(caught.value) == (
        "Output 'y' of the float32 package differs from the model's own by 0.001 of its range; "
        "this is a fault of the code generator or of the compiler."
    )


def test_an_output_without_a_range_has_its_size():
    proto = model(make_node("Mul", ["x", "c"], ["z"]), make_node("Add", ["z", "one"], ["y"]))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([1000]), "one"))
    check(proto, lambda y: y * (1 + 1e-6))
    with pytest.raises(GeneratorFault, match=r"differs from the model's own by 10;"):
        check(proto, lambda y: y * 1.01)


def test_elements_that_are_not_finite_must_be_the_same():
    proto = model(make_node("Sqrt", ["x"], ["y"]))
    check(proto, lambda y: y)
    with pytest.raises(GeneratorFault, match="has 8 of 16 elements that only here are not finite"):
        check(proto, np.nan_to_num)


def test_what_a_model_amplifies_itself_is_forgiven():
    nodes = [
        make_node("Mul", ["x", "c"], ["z"]),
        make_node("Sin", ["z"], ["y"]),
    ]
    check(model(*nodes, constant=1e4), lambda y: y + 5e-3)
    with pytest.raises(GeneratorFault):
        check(model(*nodes, constant=1), lambda y: y + 5e-3)


def test_shapes_must_be_the_same():
    proto = model(make_node("Sin", ["x"], ["y"]))
    outputs = [Tensor("y", (1, 7), Element.F32)]
    with pytest.raises(GeneratorFault, match=r"has the shape \[1, 7\], and the model's \[1, 8\]"):
        require_faithful(proto, outputs, SAMPLES, [])


def test_a_model_that_does_not_run_is_told():
    proto = model(make_node("Sin", ["x"], ["y"]))
    with pytest.raises(CompileError, match="Pass run the model failed"):
        require_faithful(proto, OUTPUTS, [{"x": np.zeros((1, 7), np.float32)}], [])
