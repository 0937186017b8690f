"""Fixing the dynamic dimensions of a model: by name where the user gave a size, batch 1 else."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnx import ModelProto, TensorShapeProto, ValueInfoProto

from farm.errors import ModelError
from farm.model.walk import all_graphs

_BATCH = re.compile(
    r"n|b|bs|(.*[-_ .])?batch([-_ .]?(size|dim|axis))?([-_ .]?\d+)?", re.IGNORECASE
)
_ANONYMOUS = re.compile(r"unk__\d+|dynamic_axes_\d+|None|\?|-1", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Dimension:
    """One dynamic dimension of an input. name: what the user calls it after ``--shape``."""

    name: str
    label: str
    axis: int
    rank: int
    proto: TensorShapeProto.Dimension

    @property
    def is_batch(self) -> bool:
        """Named like a batch, or the nameless first of at least two dimensions."""
        if _BATCH.fullmatch(self.name):
            return True
        nameless = not self.label or _ANONYMOUS.fullmatch(self.label)
        return bool(nameless) and self.axis == 0 and self.rank >= 2


def fix_shapes(
    proto: ModelProto, inputs: tuple[ValueInfoProto, ...], shapes: Mapping[str, int], model: str
) -> dict[str, int]:
    """Give every dynamic dimension of the inputs a size, in place; the sizes by name.

    A name is the dimension's own name in the model, or ``INPUT.AXIS`` where it has none. A
    dimension named like a batch (``batch``, ``batch_size``, ``N``, ``b``) and a nameless axis 0
    get 1 unless asked for otherwise. Equal names elsewhere in the graph get the same size. A size
    may be 0: caches of a language model begin empty.

    Raises ModelError: a negative size, a name that is not there, a dimension that has no size.
    """
    dimensions = list(_dynamic(inputs))
    _check_asked(shapes, sorted({dimension.name for dimension in dimensions}), model)
    sizes = {d.name: 1 for d in dimensions if d.is_batch} | dict(shapes)
    if missing := sorted({d.name for d in dimensions} - sizes.keys()):
        options = " ".join(f"--shape {name}=SIZE" for name in missing)
        what = "a dynamic dimension" if len(missing) == 1 else "dynamic dimensions"
        names = ", ".join(f"'{name}'" for name in missing)
        raise ModelError(f"Model {model} has {what} without a size: {names}; give {options}.")
    for dimension in dimensions:
        dimension.proto.dim_value = sizes[dimension.name]
    named = {d.label: sizes[d.name] for d in dimensions if d.label}
    _substitute(proto, named)
    return dict(sorted(sizes.items()))


def fixed_sentence(sizes: Mapping[str, int]) -> str:
    """What to know of a model whose dimensions were given these sizes; "" where it had none."""
    if not sizes:
        return ""
    fixed = ", ".join(f"'{name}' to {size}" for name, size in sizes.items())
    which = "dimension is" if len(sizes) == 1 else "dimensions are"
    return f"The model's dynamic {which} fixed: {fixed}."


def _dynamic(inputs: tuple[ValueInfoProto, ...]) -> Iterator[_Dimension]:
    for value in inputs:
        shape = value.type.tensor_type.shape
        for axis, dim in enumerate(shape.dim):
            if not dim.HasField("dim_value") or dim.dim_value < 0:
                label = dim.dim_param
                name = label or f"{value.name}.{axis}"
                yield _Dimension(name, label, axis, len(shape.dim), dim)


def _check_asked(shapes: Mapping[str, int], known: list[str], model: str) -> None:
    for name, size in shapes.items():
        if name not in known:
            there = f"has {_listed(known)}" if known else "has no dynamic dimensions"
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean --shape {near[0]}={size}?" if near else "."
            raise ModelError(
                f"Model {model} has no dynamic dimension '{name}' (asked for by "
                f"--shape {name}={size}); it {there}{hint}"
            )
        if size < 0:
            raise ModelError(
                f"--shape {name}={size} is not a size: a dimension must be at least 0."
            )


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _substitute(proto: ModelProto, sizes: Mapping[str, int]) -> None:
    """Put the sizes in for the names wherever the model declares a shape."""
    for graph in all_graphs(proto.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_param in sizes:
                    dim.dim_value = sizes[dim.dim_param]
