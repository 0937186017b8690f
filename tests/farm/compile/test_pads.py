"""Pads of some axes, which ONNX Runtime's own rewriting gets wrong beside a Transpose."""

import numpy as np
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.compile.pads import PadAllAxes
from farm.compile.prepare import prepare
from tests.farm.compile.graphs import feeds
from tests.models import build, value


def padded(axes: list[int], pads: list[int]):
    """A Transpose, then a Pad of some axes; inferred shapes included."""
    nodes = [
        make_node("Transpose", ["x"], ["t"], name="turn", perm=[3, 1, 0, 2]),
        make_node("Pad", ["t", "pads", "", "axes"], ["y"], name="pad"),
    ]
    stored = {"pads": np.array(pads), "axes": np.array(axes)}
    shape = np.pad(np.zeros((5, 3, 2, 4)), widths(axes, pads)).shape
    model = build(nodes, [value("x", [2, 3, 4, 5])], [value("y", list(shape))], stored, opset=18)
    model.graph.value_info.append(value("t", [5, 3, 2, 4]))
    return model


def widths(axes: list[int], pads: list[int]) -> list[tuple[int, int]]:
    found = [(0, 0)] * 4
    for i, axis in enumerate(axes):
        found[axis] = (pads[i], pads[i + len(axes)])
    return found


@pytest.mark.parametrize(
    ("axes", "pads"),
    [([0, -1], [1, 2, 3, 4]), ([2], [1, 0]), ([3, 1, 0, 2], [1, 2, 0, 1, 0, 1, 2, 3])],
)
def test_the_prepared_graph_pads_the_same(axes, pads):
    model = padded(axes, pads)
    (sample, *_) = feeds(model)
    ready = prepare(model).model

    (found,) = ort.InferenceSession(ready.SerializeToString()).run(None, sample)

    wanted = np.pad(sample["x"].transpose(3, 1, 0, 2), widths(axes, pads))
    np.testing.assert_array_equal(found, wanted)


def test_other_pads_stay():
    nodes = [make_node("Pad", ["x", "pads"], ["y"], name="pad")]
    stored = {"pads": np.array([0, 1, 0, 1])}
    model = build(nodes, [value("x", [2, 3])], [value("y", [2, 5])], stored, opset=18)
    assert not PadAllAxes()(model).changed
