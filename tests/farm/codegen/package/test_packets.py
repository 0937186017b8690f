"""The model of packets: what it counts, that it knows every kernel, and how far off it is."""

from __future__ import annotations

import math

import pytest

from farm.codegen.build.compilers import Target
from farm.codegen.generate import generate
from farm.codegen.ops.movement import Concat
from farm.codegen.package.packets import counts, modelled_packets, step_packets
from farm.codegen.package.record import Packets
from farm.codegen.program import Copy, Layout, View
from farm.compile.prepare import prepare
from tests.farm.codegen.kernel_harness import tensor
from tests.farm.codegen.ops import (
    test_convert,
    test_convolution,
    test_elementwise,
    test_float,
    test_movement,
    test_pool,
    test_resize,
    test_softmax,
    test_typed,
)
from tests.models import conv_net
from tests.workers.samples import named_conv_net

HVX, SCALAR = Target.HEXAGON_HVX, Target.HEXAGON
MODULES = (
    test_convert,
    test_convolution,
    test_elementwise,
    test_float,
    test_movement,
    test_pool,
    test_resize,
    test_softmax,
    test_typed,
)


class NoData:
    """A binding for steps whose calls are not compiled."""

    def tensor(self, _tensor):
        return "x"

    def constant(self, _array, _hint):
        return "c"

    def scratch(self):
        return "s"


@pytest.fixture(scope="module")
def steps():
    return [case.step for module in MODULES for case in module.all_cases()]


def convolutions(steps):
    return [step for step in steps if step.work.kernel.startswith(("conv_", "depthwise"))]


def elements(step, name):
    return sum(loop.times * loop.length for loop in step.work.loops if loop.name == name)


def test_what_has_prices_is_counted_in_vectors_of_the_target():
    step = Copy((tensor("x", (129,)),), (tensor("y", (129,)),))
    common = {"call.start": 1, "copy.start": 1, "copy.element": 129, "copy.part": 1}
    assert counts(step.work, HVX) == common | {"copy.vector": 2, "copy.odd": 129}
    assert counts(step.work, SCALAR) == common | {"copy.vector": 17, "copy.odd": 129}


def test_loops_of_one_name_add_up():
    shape = (1, 8, 20, 12)
    image = tensor("x", shape, Layout.BLOCKED)
    again = tensor("y", shape, Layout.BLOCKED)
    once = step_packets(Concat((image,), (again,), 1, (None,)), HVX)
    both = tensor("y", (1, 16, 20, 12), Layout.BLOCKED)
    twice = step_packets(Concat((image, image), (both,), 1, (None, None)), HVX)
    assert once.all < twice.all <= 2 * once.all + 1


def test_work_is_that_of_the_kernel_that_is_called(steps):
    aliases = {"quantize_to_blocks": "quantize"}
    for step in steps:
        function = step.call(NoData()).function
        assert step.work.kernel == aliases.get(function, function)
        assert all(loop.times >= 0 and loop.length >= 0 for loop in step.work.loops), step


@pytest.mark.parametrize("target", [HVX, SCALAR])
def test_every_kernel_has_prices(steps, target):
    for step in steps:
        packets = step_packets(step, target)
        assert packets.all > 0, step
        assert target is HVX or packets.vector == 0


def test_bands_of_a_convolution_make_all_of_its_output(steps):
    for step in convolutions(steps):
        assert elements(step, "outputs") == step.outputs[0].bytes


def test_products_of_a_convolution_are_its_multiplications(steps):
    """Where blocks of channels are full; four weights for each of four outputs per word."""
    checked = 0
    for step in convolutions(steps):
        outputs, inputs, *kernel = step.weights.shape
        full = outputs // step.groups % 4 == 0 and inputs % 4 == 0
        if step.inputs[0].layout is Layout.BLOCKED and full:
            macs = step.outputs[0].size * inputs * math.prod(kernel)
            assert elements(step, "products") * 4 == macs
            checked += 1
    assert checked > 5


def test_what_calls_no_kernel_takes_no_packets():
    view = View((tensor("x", (2, 3)),), (tensor("y", (6,)),))
    assert step_packets(view, HVX) == Packets()


def test_packets_grow_with_the_work_and_are_those_of_the_steps():
    generation = generate(prepare(named_conv_net()).model, "test")
    assert modelled_packets(generation, Target.AVX2) == Packets()
    small = modelled_packets(generation, HVX)
    assert small.all == sum(step_packets(s, HVX).all for s, _ in generation.storage.steps)
    larger = conv_net()
    larger.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32
    more = generate(prepare(larger).model, "test")
    assert modelled_packets(more, HVX).all > small.all
