"""Lowers pools, means and softmax on quantised tensors; see ``lower_products``."""

from __future__ import annotations

import math

import numpy as np

from farm.codegen.forms import BLOCKED, FLOAT, PLAIN
from farm.codegen.ops.pool import AveragePool, MaxPool, Mean, average_rules, mean_rule
from farm.codegen.ops.resize import ResizeLinear, linear_taps
from farm.codegen.ops.softmax import Softmax
from farm.codegen.resize import resized_axes
from farm.codegen.site import Site
from farm.codegen.windows import window


def max_pool(site: Site) -> bool:
    """A maximum over windows."""
    result = site.result
    span = window(site.node, tuple(site.node.attributes["kernel_shape"]))
    if (
        span is None
        or len(site.node.outputs) > 1
        or site.quantization(site.input) != site.quantization(result)
    ):
        return False
    x = site.image(site.input)
    y = site.new_image(result)
    site.forms.add(MaxPool((x,), (y,), span.kernel, span.strides, span.pads, span.dilations))
    site.know_image(result, y)
    return True


def average_pool(site: Site) -> bool:
    """A mean over windows, or over everything."""
    node, result = site.node, site.result
    sizes = site.input.shape[2:]
    kernel = tuple(node.attributes.get("kernel_shape", sizes))
    span = window(node, kernel)
    dilated = span is not None and span.dilations != (1, 1)
    if span is None or dilated or not span.exact:
        return False
    if kernel == sizes and not any(span.pads):
        return _mean(site, tuple(range(2, 2 + len(sizes))))
    counts_padding = bool(node.attributes.get("count_include_pad", 0))
    x = site.image(site.input)
    y = site.new_image(result)
    rules = average_rules(x.quant, y.quant, math.prod(span.kernel), counts_padding)
    site.forms.add(
        AveragePool((x,), (y,), span.kernel, span.strides, span.pads, rules, counts_padding)
    )
    site.know_image(result, y)
    return True


def global_average_pool(site: Site) -> bool:
    """A mean over all positions."""
    return _mean(site, tuple(range(2, len(site.input.shape))))


def reduce_mean(site: Site) -> bool:
    """A mean over axes."""
    node, rank = site.node, len(site.input.shape)
    given = node.attributes.get("axes")
    if given is None and (constant := node.constant(1)) is not None:
        given = tuple(int(axis) for axis in constant)
    if not given and node.attributes.get("noop_with_empty_axes", 0):
        return False
    axes = given or tuple(range(rank))
    return _mean(site, tuple(sorted(axis % rank for axis in axes)))


def _mean(site: Site, axes: tuple[int, ...]) -> bool:
    value, result = site.input, site.result
    positions = axes == tuple(range(2, len(value.shape))) and len(axes) > 0
    form = BLOCKED if positions and site.forms.has(value, BLOCKED) else PLAIN
    x, y = site.forms.get(value, form), site.forms.new(result, PLAIN)
    count = math.prod(value.shape[axis] for axis in axes)
    site.forms.add(Mean((x,), (y,), axes, mean_rule(x.quant, y.quant, count)))
    return True


def softmax(site: Site) -> bool:
    """A softmax, with a float result where that is what is read."""
    node, result = site.node, site.result
    rank = len(result.shape)
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1) % rank
    if node.opset < 13 and axis != rank - 1:
        return False
    readers = site.annotated.source.readers().get(result.name, [])
    outputs = {value.name for value in site.annotated.source.outputs}
    integer = result.name in site.annotated.quantizations and bool(readers)
    form = PLAIN if integer and result.name not in outputs else FLOAT
    x = site.forms.get(site.input, PLAIN)
    site.forms.add(Softmax((x,), (site.forms.new(result, form),), axis))
    return True


def resize(site: Site) -> bool:
    """An image at another size by linear interpolation between two neighbours."""
    node, result = site.node, site.result
    plain = not node.attributes.get("antialias", 0) and not node.attributes.get("exclude_outside")
    if node.attributes.get("mode") != "linear" or not plain or len(result.shape) < 3:
        return False
    axes = {axis.axis: axis for axis in resized_axes(node, site.input.shape, result.shape)}
    rank = len(result.shape)
    if any(axis < rank - 2 or found.extrapolated.any() for axis, found in axes.items()):
        return False
    if site.quantization(site.input) != site.quantization(result):
        return False
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
    return True
