"""Lowers pools, means and softmax on quantised tensors; see ``lower_integer``."""

from __future__ import annotations

import math

import numpy as np

from farm.codegen.front.windows import window
from farm.codegen.lower.forms import BLOCKED, FLOAT, PLAIN
from farm.codegen.lower.resize import resized_axes
from farm.codegen.lower.site import NoIntegerKernel, Site
from farm.codegen.ops.integer.pool import AveragePool, MaxPool, Mean, average_rules, mean_rule
from farm.codegen.ops.integer.resize import ResizeLinear, linear_taps
from farm.codegen.ops.integer.softmax import Softmax


def max_pool(site: Site) -> None:
    """A maximum over windows."""
    result = site.result
    span = window(site.node, tuple(site.node.attributes["kernel_shape"]))
    if span is None:
        raise NoIntegerKernel("its windows are over more than two axes")
    if len(site.node.outputs) > 1:
        raise NoIntegerKernel("it has a second output")
    _require_one_quantization(site)
    x = site.image(site.input)
    y = site.new_image(result)
    site.forms.add(MaxPool((x,), (y,), span.kernel, span.strides, span.pads, span.dilations))
    site.know_image(result, y)


def average_pool(site: Site) -> None:
    """A mean over windows, or over everything."""
    node, result = site.node, site.result
    sizes = site.input.shape[2:]
    kernel = tuple(node.attributes.get("kernel_shape", sizes))
    span = window(node, kernel)
    counts_padding = bool(node.attributes.get("count_include_pad", 0))
    if span is None or span.dilations != (1, 1):
        raise NoIntegerKernel("its windows are dilated, or over more than two axes")
    if counts_padding and not span.exact:
        raise NoIntegerKernel("its last windows count padding that it does not have")
    if kernel == sizes and not any(span.pads):
        _mean(site, tuple(range(2, 2 + len(sizes))))
        return
    x = site.image(site.input)
    y = site.new_image(result)
    whole = {math.prod(span.kernel)}
    counts = whole if counts_padding else span.counts(x.shape[2:], y.shape[2:])
    rules = average_rules(x.quant, y.quant, counts)
    site.forms.add(
        AveragePool((x,), (y,), span.kernel, span.strides, span.pads, rules, counts_padding)
    )
    site.know_image(result, y)


def global_average_pool(site: Site) -> None:
    """A mean over all positions."""
    _mean(site, tuple(range(2, len(site.input.shape))))


def reduce_mean(site: Site) -> None:
    """A mean over axes."""
    node, rank = site.node, len(site.input.shape)
    given = node.attributes.get("axes")
    if given is None and (constant := node.constant(1)) is not None:
        given = tuple(int(axis) for axis in constant)
    if not given and node.attributes.get("noop_with_empty_axes", 0):
        raise NoIntegerKernel("it has no axes")
    axes = given or tuple(range(rank))
    _mean(site, tuple(sorted(axis % rank for axis in axes)))


def _mean(site: Site, axes: tuple[int, ...]) -> None:
    value, result = site.input, site.result
    positions = axes == tuple(range(2, len(value.shape))) and len(axes) > 0
    form = BLOCKED if positions and site.forms.has(value, BLOCKED) else PLAIN
    x, y = site.forms.get(value, form), site.forms.new(result, PLAIN)
    count = math.prod(value.shape[axis] for axis in axes)
    site.forms.add(Mean((x,), (y,), axes, mean_rule(x.quant, y.quant, count)))


def softmax(site: Site) -> None:
    """A softmax, with a float result where that is what is read."""
    node, result = site.node, site.result
    rank = len(result.shape)
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1) % rank
    if node.opset < 13 and axis != rank - 1:
        raise NoIntegerKernel("before operator set 13 it is over several axes")
    readers = site.annotated.source.readers().get(result.name, [])
    outputs = {value.name for value in site.annotated.source.outputs}
    integer = result.name in site.annotated.quantizations and bool(readers)
    form = PLAIN if integer and result.name not in outputs else FLOAT
    if site.integer_outputs and result.name in outputs & site.annotated.quantizations.keys():
        form = PLAIN
    x = site.forms.get(site.input, PLAIN)
    y = site.forms.computed(result) if form == FLOAT else site.forms.new(result, form)
    site.forms.add(Softmax((x,), (y,), axis))


def resize(site: Site) -> None:
    """An image at another size by linear interpolation between two neighbours."""
    node, result = site.node, site.result
    plain = not node.attributes.get("antialias", 0) and not node.attributes.get("exclude_outside")
    if node.attributes.get("mode") != "linear" or not plain or len(result.shape) < 3:
        raise NoIntegerKernel("only plain linear interpolation of images is done in integers")
    axes = {axis.axis: axis for axis in resized_axes(node, site.input.shape, result.shape)}
    rank = len(result.shape)
    if any(axis < rank - 2 or found.extrapolated.any() for axis, found in axes.items()):
        raise NoIntegerKernel("it extrapolates, or changes more than height and width")
    _require_one_quantization(site)
    rows, columns = (
        linear_taps(
            axes[axis].coordinates if axis in axes else np.arange(float(result.shape[axis])),
            site.input.shape[axis],
        )
        for axis in (rank - 2, rank - 1)
    )
    form = BLOCKED if rank == 4 and site.forms.has(site.input, BLOCKED) else PLAIN
    x, y = site.forms.get(site.input, form), site.forms.new(result, form)
    site.forms.add(ResizeLinear((x,), (y,), rows, columns))


def _require_one_quantization(site: Site) -> None:
    if site.quantization(site.input) != site.quantization(site.result):
        raise NoIntegerKernel("its input and its output have different scales")
