"""Takes out of every channel what quantisation adds to its mean.

Rounded weights and ranges that are cut off move the mean of a channel, and the operators that
follow never see it centred again. The mean error of each operator, on inputs that are quantised
themselves, goes into its bias (Nagel et al. 2019, "Data-free quantization through weight
equalization and bias correction", arXiv 1906.04721, equation 17; here measured on data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from farm.candidate import StaticInt8
from farm.compile.operators import Facts
from farm.compile.passes import PassResult, cpu_session, reported_as
from farm.compile.quantization.calibrate import Calibration, Feeds
from farm.compile.quantization.quantize import QuantizeStatic
from farm.compile.quantization.walk import Values, Walk
from farm.errors import CompileError
from farm.model.walk import clone, subgraphs
from farm.units import counted

_MOST_SAMPLES = 32
_FEWEST_SAMPLES = 4
_MOST_VALUES = 1 << 28  # activation values looked at, over all samples
_CORRECTED = frozenset({"Conv", "ConvTranspose", "Gemm"})
_BIAS = 2  # position among the inputs

Means = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CorrectBiases:
    """Write biases with which every channel of a product keeps its mean when it is quantised.

    calibration: the ranges that the quantisation uses. feeds: calibration data.
    """

    choice: StaticInt8
    calibration: Calibration
    feeds: Sequence[Feeds]

    name: ClassVar[str] = "correct-biases"
    requires: ClassVar[str] = "a prepared graph, opset 13 or later"
    ensures: ClassVar[str] = "quantised as chosen, no convolution or Gemm moves a channel's mean"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass; a graph that cannot be corrected stays. Raises CompileError."""
        try:
            quantised = QuantizeStatic(self.choice, self.calibration)(model).model
        except CompileError as error:  # a package may be quantised all the same
            return PassResult(model, changed=False, notes=(f"No bias is corrected: {error}",))
        products, feeds = _products(model, quantised), self.feeds[: _sample_count(model)]
        if why := _obstacle(quantised, products, feeds):
            return PassResult(model, changed=False, notes=(f"No bias is corrected: {why}.",))
        with reported_as(self.name):
            shifts = _shifts(quantised, _exact_means(model, products, feeds), feeds)
        count = counted(len(feeds), "calibration sample")
        note = f"Biases of {counted(len(shifts), 'operator')} corrected on {count}."
        return PassResult(_corrected(model, shifts), changed=True, notes=(note,))


def _obstacle(
    quantised: onnx.ModelProto, products: Sequence[onnx.NodeProto], feeds: Sequence[Feeds]
) -> str:
    """Why nothing is corrected; "" if something is."""
    if not products:
        return "no operator with one is quantised"
    if any(True for node in quantised.graph.node for _ in subgraphs(node)):
        return "the graph has branches"
    return "" if len(feeds) > 1 else "one sample does not tell a mean"


def _products(model: onnx.ModelProto, quantised: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The operators of the float graph that compute in integers and have room for a bias."""
    facts = Facts(model)
    makers = {name: node.op_type for node in quantised.graph.node for name in node.output}
    integer = {
        node.name
        for node in quantised.graph.node
        if node.op_type in _CORRECTED and makers.get(node.input[1]) == "DequantizeLinear"
    }
    return [
        node
        for node in model.graph.node
        if node.name in integer
        and (_bias(node) is None or facts.is_weight(node.input[_BIAS]))
        and not any(a.name == "beta" and a.f != 1 for a in node.attribute)
    ]


def _exact_means(
    model: onnx.ModelProto, products: Sequence[onnx.NodeProto], feeds: Sequence[Feeds]
) -> dict[str, Means]:
    """Means of every sample's channels in the float graph, by the operator's name."""
    observed = clone(model)
    del observed.graph.output[:]
    names = [node.output[0] for node in products]
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = cpu_session(observed)
    rows = [map(_mean, session.run(names, dict(feed))) for feed in feeds]
    columns = zip(*rows, strict=True)
    return {node.name: np.stack(column) for node, column in zip(products, columns, strict=True)}


def _shifts(
    quantised: onnx.ModelProto, exact: Mapping[str, Means], feeds: Sequence[Feeds]
) -> dict[str, Means]:
    """What every operator's channels lack, with all those before it corrected."""
    walk, shifts = Walk(quantised, feeds), {}
    for node in quantised.graph.node:
        made = walk.run(node)
        if node.name in exact:
            values = made[node.output[0]]
            shift = certain_mean(exact[node.name] - np.stack([_mean(each) for each in values]))
            shifts[node.name] = shift
            made[node.output[0]] = _moved(values, shift)
        walk.keep(node, made)
    return shifts


def certain_mean(errors: Means) -> Means:
    """The mean of errors [samples, channels], as far as it is more than chance.

    A mean over few samples has an error of its own, which must not go into every answer: the
    means of all channels shrink by what is expected of that (James and Stein 1961, "Estimation
    with quadratic loss", the positive part).
    """
    found: Means = errors.mean(axis=0)
    chance = errors.var(axis=0, ddof=1).sum() / len(errors)
    power = (found**2).sum()
    return found * max(0.0, 1.0 - chance / power) if power > 0 else found


def _corrected(model: onnx.ModelProto, shifts: Mapping[str, Means]) -> onnx.ModelProto:
    written = clone(model)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    taken = {*stored, *(name for node in model.graph.node for name in node.output)}
    for node in written.graph.node:
        if node.name not in shifts:
            continue
        given = _bias(node)
        shift = shifts[node.name]
        bias = shift if given is None else numpy_helper.to_array(stored[given]).reshape(-1) + shift
        name = f"{node.name}/corrected_bias"
        while name in taken:
            name += "_"
        written.graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), name))
        del node.input[_BIAS:]
        node.input.append(name)
    _drop_unread(written)
    return written


def _drop_unread(model: onnx.ModelProto) -> None:
    """Remove the biases that were replaced."""
    read = {name for node in model.graph.node for name in node.input}
    read |= {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _bias(node: onnx.NodeProto) -> str | None:
    return node.input[_BIAS] if len(node.input) > _BIAS and node.input[_BIAS] else None


def _mean(values: npt.NDArray[np.generic]) -> Means:
    """Of every channel, which are the second axis: of a product its columns."""
    axes = (0, *range(2, values.ndim))
    means: Means = np.asarray(values, np.float64).mean(axis=axes)
    return means


def _moved(values: Values, shift: Means) -> Values:
    shaped = shift.reshape(-1, *[1] * (values[0].ndim - 2)).astype(np.float32)
    return [np.asarray(each, np.float32) + shaped for each in values]


def _sample_count(model: onnx.ModelProto) -> int:
    facts = Facts(model)
    sizes = [
        int(np.prod(shape))
        for node in model.graph.node
        for name in node.output
        if (shape := facts.shape(name)) is not None
    ]
    return min(_MOST_SAMPLES, max(_FEWEST_SAMPLES, _MOST_VALUES // max(sum(sizes), 1)))
