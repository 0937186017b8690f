"""Windows that slide over images: the attributes that convolutions and pools have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farm.codegen.front.source import Node


@dataclass(frozen=True, slots=True)
class Window:
    """kernel, strides, dilations: [height, width]. pads: top, left, bottom, right.

    exact: whether padding is as the attributes say, and not longer because of ``ceil_mode``.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    exact: bool = True

    def counts(self, sizes: Sequence[int], results: Sequence[int]) -> set[int]:
        """How many elements of a window lie in the image, of windows that have any.

        sizes, results: height and width of the image and of the result.
        """
        inside: list[set[int]] = []
        axes = zip(sizes, results, self.kernel, self.strides, self.pads[:2], strict=True)
        for size, count, kernel, stride, begin in axes:
            starts = [i * stride - begin for i in range(count)]
            inside.append({min(start + kernel, size) - max(start, 0) for start in starts})
        heights, widths = inside
        return {height * width for height in heights for width in widths if min(height, width) > 0}


def window(node: Node, kernel: tuple[int, ...]) -> Window | None:
    """The window of a convolution or pool over one or two axes; None for more axes.

    kernel: its size over the positions. Over one axis the height is 1.
    """
    if len(kernel) not in (1, 2):
        return None
    rank = len(kernel)
    assert node.inputs[0] is not None
    assert node.outputs[0] is not None
    sizes, results = node.inputs[0].shape[2:], node.outputs[0].shape[2:]
    strides = tuple(node.attributes.get("strides", (1,) * rank))
    dilations = tuple(node.attributes.get("dilations", (1,) * rank))
    given = tuple(node.attributes.get("pads", (0,) * (2 * rank)))
    begins, ends, exact = [], [], True
    for i in range(rank):
        reach = (results[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1
        begin = _begin(node, given[i], reach - sizes[i])
        begins.append(begin)
        ends.append(max(reach - sizes[i] - begin, 0))
        exact = exact and (_is_auto(node) or ends[-1] <= given[rank + i])
    return Window(
        _pair(kernel, 1),
        _pair(strides, 1),
        _pair(dilations, 1),
        (*_pair(begins, 0), *_pair(ends, 0)),
        exact,
    )


def _pair(sizes: Sequence[int], missing: int) -> tuple[int, int]:
    """Height and width; ``missing`` is the height where there is one axis."""
    return (missing, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def _is_auto(node: Node) -> bool:
    return node.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "")


def _begin(node: Node, given: int, total: int) -> int:
    """Padding before the first position. total: padding on both sides."""
    match node.attributes.get("auto_pad", "NOTSET"):
        case "SAME_UPPER":
            return max(total, 0) // 2
        case "SAME_LOWER":
            return (max(total, 0) + 1) // 2
        case "VALID":
            return 0
        case _:
            return given
