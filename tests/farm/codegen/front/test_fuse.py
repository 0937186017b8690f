import numpy as np
from onnx.helper import make_node

from farm.codegen.front.annotate import Annotated
from farm.codegen.front.fuse import Limits, find_chains
from farm.codegen.front.source import read_source
from farm.codegen.program import Quantization
from tests.models import build, value, weights

SHAPE = [1, 4, 6, 6]


def annotated(nodes, stored=None, outputs=("y",), keep=(), unquantized=()):
    stored = weights(kernel=(4, 4, 3, 3), offset=(4,)) | (stored or {})
    model = build(nodes, [value("x", SHAPE)], [value(name, SHAPE) for name in outputs], stored)
    source = read_source(model)
    names = {"x", *(v.name for node in source.nodes for v in node.outputs)} - set(unquantized)
    return Annotated(source, dict.fromkeys(names, Quantization(0.1, 0)), {}, frozenset(keep))


def conv(name, x, y):
    return make_node("Conv", [x, "kernel", "offset"], [y], name=name, pads=[1, 1, 1, 1])


RESIDUAL = [
    conv("first", "x", "a"),
    make_node("Relu", ["a"], ["b"], name="first_relu"),
    conv("second", "b", "c"),
    make_node("Add", ["b", "c"], ["d"], name="join"),
    make_node("Clip", ["d", "low", "high"], ["y"], name="limit"),
]
CLIP = {"low": np.float32(0), "high": np.float32(6)}


def test_a_residual_connection_is_added_in_the_later_convolution():
    chains = find_chains(annotated(RESIDUAL, CLIP))

    assert chains["first"].absorbed == ("first_relu",)
    assert chains["first"].limits == Limits(0.0)
    second = chains["second"]
    assert second.absorbed == ("join", "limit")
    assert (second.product.name, second.skip.name, second.output.name) == ("c", "b", "y")
    assert second.limits == Limits()
    assert second.sum_limits == Limits(0.0, 6.0)


def test_a_sum_whose_other_input_comes_later_is_left_to_the_other_convolution():
    nodes = [
        conv("early", "x", "a"),
        conv("late", "x", "b"),
        make_node("Add", ["a", "b"], ["y"], name="join"),
    ]

    chains = find_chains(annotated(nodes))

    assert chains["early"].absorbed == ()
    assert chains["late"].skip.name == "a"


def test_nothing_is_absorbed_that_something_else_reads_or_that_is_asked_for():
    two_readers = [
        conv("c", "x", "a"),
        make_node("Relu", ["a"], ["b"], name="relu"),
        make_node("Mul", ["a", "b"], ["y"], name="mul"),
    ]
    assert find_chains(annotated(two_readers))["c"].absorbed == ()

    output = [conv("c", "x", "a"), make_node("Relu", ["a"], ["y"], name="relu")]
    assert find_chains(annotated(output, outputs=("a", "y")))["c"].absorbed == ()
    assert find_chains(annotated(output, keep=["relu"]))["c"].absorbed == ()
    assert find_chains(annotated(output, keep=["c"])) == {}


def test_a_sum_that_is_not_quantised_is_not_absorbed():
    chains = find_chains(annotated(RESIDUAL, CLIP, unquantized=["d"]))

    assert chains["second"].absorbed == ()


def test_a_constant_per_channel_is_a_bias():
    nodes = [
        conv("c", "x", "a"),
        make_node("Add", ["shift", "a"], ["b"], name="bias"),
        make_node("Relu", ["b"], ["y"], name="relu"),
    ]
    shift = np.arange(4, dtype=np.float32).reshape(4, 1, 1)

    chain = find_chains(annotated(nodes, {"shift": shift}))["c"]

    assert chain.bias.tolist() == [0, 1, 2, 3]
    assert chain.absorbed == ("bias", "relu")


def test_a_constant_of_another_shape_is_not():
    nodes = [conv("c", "x", "a"), make_node("Add", ["a", "shift"], ["y"], name="bias")]

    chains = find_chains(annotated(nodes, {"shift": np.zeros((6, 6), np.float32)}))

    assert chains["c"].absorbed == ()


def test_a_float_operator_after_a_quantised_product_is_not_part_of_it():
    nodes = [conv("c", "x", "a"), make_node("Relu", ["a"], ["y"], name="relu")]

    assert find_chains(annotated(nodes, unquantized=["y"]))["c"].absorbed == ()
    assert find_chains(annotated(nodes, unquantized=["a"]))["c"].absorbed == ("relu",)
