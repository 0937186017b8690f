"""Integer convolutions with constant weights.

One step stands for every convolution; which kernel computes it follows from its shapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.arithmetic import Requantization, WeightedSum, add_weighted, requantize
from farm.codegen.ops.integer.convolution_geometry import Geometry, Kernel
from farm.codegen.ops.integer.convolution_loops import convolution_work
from farm.codegen.ops.integer.packing import (
    merge_groups,
    pack_columns,
    pack_depthwise,
    pack_depthwise_three,
    pack_single,
    pad_channels,
)
from farm.codegen.ops.integer.pointwise_small import pack_lanes, pack_small
from farm.codegen.ops.integer.window_sums import Window, window_sums
from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import Array, Binding, Call, Layout, Pointer, Tensor, Work
from farm.units import Bytes


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """y = requantize(bias + Σ x * weights), then perhaps the weighted sum with a second input.

    inputs: x, or x and skip. x: U8 BLOCKED [N, C, H, W], or PLAIN if C is 1 and groups is 1. y and
    skip: U8 BLOCKED [N, O, H', W']; y may have the place of skip. weights: int8
    [O, C / groups, kh, kw]. bias: int32 [O], with all that is to be added: the correction for x's
    zero point and the rule's offset. pads: top, left, bottom, right, filled with x's zero point.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    rule: Requantization
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    skip: WeightedSum | None = None

    @property
    def in_place(self) -> tuple[tuple[int, int], ...]:
        """The output may replace the skip input, unless that is x, too."""
        is_apart = self.skip is not None and self.inputs[0] is not self.inputs[1]
        return ((0, 1),) if is_apart else ()

    @property
    def work(self) -> Work:
        """What is repeated for every band of output rows."""
        return convolution_work(self._geometry)

    @property
    def scratch_bytes(self) -> Bytes:
        """For the columns of one band of output rows."""
        return self._geometry.scratch_bytes

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Sums over windows, narrowed."""
        outside = self.inputs[0].quant.zero_point
        window = Window(self.strides, self.pads, self.dilations, self.outputs[0].shape[2:])
        sums = window_sums(inputs[0], outside, self.weights, self.groups, window)
        result = requantize(sums + self.bias.reshape(1, -1, 1, 1), self.rule, 1)
        return (result if self.skip is None else add_weighted(result, inputs[1], self.skip),)

    def call(self, bind: Binding) -> Call:
        """One call of the kernel that fits the shapes."""
        kernel = self._geometry.kernel
        is_small = kernel is Kernel.POINTWISE_SMALL
        multiplier = np.broadcast_to(self.rule.multiplier, self.bias.shape)
        order, weights = (pack_lanes, "uint8_t") if is_small else (pad_channels, "int32_t")
        pointers = [
            Pointer("const uint8_t *", bind.tensor(self.inputs[0])),
            Pointer(f"const {weights} *", bind.constant(self._packed, "weights")),
            Pointer("const int32_t *", bind.constant(order(self.bias), "bias")),
            Pointer("const int16_t *", bind.constant(order(multiplier), "multiplier")),
        ]
        if not is_small:
            skip = bind.tensor(self.inputs[1] if self.skip else self.outputs[0])
            pointers.append(Pointer("const uint8_t *", skip))
        pointers.append(Pointer("uint8_t *", bind.tensor(self.outputs[0])))
        if kernel is not Kernel.POINTWISE:
            pointers.append(Pointer("uint8_t *", bind.scratch()))
        header = "conv.h" if kernel.value.startswith("conv") else f"{kernel}.h"
        return Call(header, kernel.value, tuple(pointers), self._shape_literal())

    @property
    def _geometry(self) -> Geometry:
        x, y = self.inputs[0], self.outputs[0]
        return Geometry(
            x.shape,
            x.layout is Layout.PLAIN,
            y.shape,
            self.weights.shape,
            self.strides,
            self.pads,
            self.dilations,
            self.groups,
            self.skip is not None,
        )

    @property
    def _packed(self) -> Array:
        """Weights in the kernel's order."""
        shape = self._geometry
        match shape.kernel:
            case Kernel.SINGLE:
                return pack_single(self.weights, shape.rows)
            case Kernel.DEPTHWISE:
                return pack_depthwise(self.weights, shape.rows)
            case Kernel.DEPTHWISE_THREE:
                return pack_depthwise_three(self.weights)
            case Kernel.POINTWISE_SMALL:
                return pack_small(self.weights[:, :, 0, 0])
            case Kernel.POINTWISE | Kernel.COLUMNS:
                merged = self.groups // shape.kernel_groups
                return pack_columns(merge_groups(self.weights, self.groups, merged), shape.rows)

    def _shape_literal(self) -> str:
        batch, channels, height, width = self.inputs[0].shape
        outputs, out_height, out_width = self.outputs[0].shape[1:]
        shape = self._geometry
        groups = shape.kernel_groups
        return shape_literal(
            "ConvShape",
            batch=batch,
            groups=groups,
            in_blocks=-(-channels // groups // 4),
            out_blocks=-(-outputs // groups // 4),
            height=height,
            width=width,
            out_height=out_height,
            out_width=out_width,
            kernel_width=shape.words,
            kernel_taps=self.weights.shape[3],
            stride_y=self.strides[0],
            stride_x=self.strides[1],
            dilation_y=self.dilations[0],
            dilation_x=self.dilations[1],
            top=self.pads[0],
            left=self.pads[1],
            row_planes=shape.rows.planes,
            taps=shape.rows.taps,
            tap_rows=shape.rows.tap_rows,
            band=shape.band,
            zero_point=self.inputs[0].quant.zero_point,
            output=_output_literal(self.rule, self.skip),
        )


def _output_literal(rule: Requantization, skip: WeightedSum | None) -> str:
    added = (
        {}
        if skip is None
        else {
            "skip_first": skip.first,
            "skip_second": skip.second,
            "skip_offset": skip.offset,
            "skip_shift": skip.shift,
            "skip_lowest": skip.lowest,
            "skip_highest": skip.highest,
        }
    )
    return shape_literal(
        "ConvOutput",
        shift=rule.shift,
        post_shift=rule.post_shift,
        lowest=rule.lowest,
        highest=rule.highest,
        has_skip=int(skip is not None),
        **added,
    )
