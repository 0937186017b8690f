"""What one seed stands for: a random model, perhaps with a twist, its inputs, and its way to C.

Half of the seeds are plain models. In the others a twist adds what models out of the wild have and
random growth never makes: see ``twists`` and ``oddities``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from benchmarks.packages.graphs.maker import Maker
from benchmarks.packages.graphs.models import random_maker
from benchmarks.packages.graphs.operators.proposal import Array
from benchmarks.packages.graphs.operators.sequences import SEQUENCES
from benchmarks.packages.graphs.twists.numbers import TWISTS, Built, Feeder
from benchmarks.packages.graphs.twists.oddities import ODDITIES

Feeds = Mapping[str, Array]
FEEDS = 8
_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomUniform")
_SAVED = 24  # samples in the file that goes with a saved model


class Kind(StrEnum):
    """How a float model becomes a package.

    MIXED: static int8, with some operators kept in float. QDQ: quantised by the farm's own pass
    first, RUNTIME_QDQ: by ONNX Runtime's quantiser. A model that came quantised stays as it is.
    """

    FLOAT = "float"
    INT8 = "int8"
    MIXED = "mixed"
    QDQ = "qdq"
    RUNTIME_QDQ = "runtime-qdq"


@dataclass(frozen=True, slots=True)
class Subject:
    """One model to examine.

    twist: its name, "" for a plain model. feeder: makes an input. beyond: makes one that no
    calibration sees, None where there are none. sizes: of dynamic dimensions.
    """

    seed: int
    kind: Kind
    twist: str
    model: onnx.ModelProto
    feeder: Feeder
    beyond: Feeder | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For messages."""
        return f"seed {self.seed}, {self.kind}" + (f", {self.twist}" if self.twist else "")

    @property
    def is_dynamic(self) -> bool:
        """Whether an input has a dimension without a size."""
        return any(
            not size.HasField("dim_value")
            for value in self.model.graph.input
            for size in value.type.tensor_type.shape.dim
        )

    @property
    def random_operators(self) -> list[str]:
        """Kinds of operators that give something else in every run, sorted."""
        kinds = {node.op_type for node in self.model.graph.node}
        return sorted(kind for kind in kinds if kind.startswith(_RANDOM))

    def feeds(self, count: int = FEEDS) -> list[dict[str, Array]]:
        """Inputs, the same for the same seed."""
        return random_feeds(self.model, self.seed, count, self.feeder, self.sizes)

    def feeds_beyond(self) -> list[dict[str, Array]]:
        """Inputs beyond what a calibration has seen: one or none."""
        return (
            random_feeds(self.model, self.seed, 1, self.beyond, self.sizes) if self.beyond else []
        )

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write the model, and samples as the farm reads them; both files."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"seed-{self.seed}.onnx"
        path.write_bytes(self.model.SerializeToString())
        samples = self.feeds(_SAVED)
        data = path.with_suffix(".npz")
        with data.open("wb") as file:
            stacked = {name: np.stack([each[name] for each in samples]) for name in samples[0]}
            np.savez(file, **stacked)  # type: ignore[arg-type]  # keywords are array names
        return path, data


def subject_of(seed: int) -> Subject:
    """The subject of a seed: the same in every run."""
    kind = list(Kind)[seed % len(Kind)]
    number, is_twisted = divmod(seed // len(Kind), 2)
    maker = random_maker(seed)
    if not is_twisted:
        return Subject(seed, kind, "", maker.model(), normal)
    name, build = _ALL[number % len(_ALL)]
    if name in SEQUENCES and kind is Kind.RUNTIME_QDQ:  # whose quantiser takes no masks
        kind = Kind.QDQ
    built = build(maker)
    feeder = built.feeder or normal
    return Subject(seed, kind, name, built.model, feeder, built.beyond, built.sizes)


def random_feeds(
    model: onnx.ModelProto,
    seed: int,
    count: int,
    feeder: Feeder | None = None,
    sizes: Mapping[str, int] | None = None,
) -> list[dict[str, Array]]:
    """Inputs of a model. sizes: of dynamic dimensions, which are 1 else."""
    random = np.random.default_rng(seed)
    known, make = sizes or {}, feeder or normal
    shapes = {
        each.name: tuple(
            size.dim_value if size.HasField("dim_value") else known.get(size.dim_param, 1)
            for size in each.type.tensor_type.shape.dim
        )
        for each in model.graph.input
    }
    types = {each.name: each.type.tensor_type.elem_type for each in model.graph.input}
    return [
        {
            name: make(random, index, shape).astype(helper.tensor_dtype_to_np_dtype(types[name]))
            for name, shape in shapes.items()
        }
        for index in range(count)
    ]


def normal(random: np.random.Generator, _index: int, shape: Sequence[int]) -> Array:
    """Normal numbers."""
    return np.asarray(random.standard_normal(shape))


_ALL: Sequence[tuple[str, Callable[[Maker], Built]]] = (
    *TWISTS.items(),
    *ODDITIES.items(),
    *SEQUENCES.items(),
)
NAMES: Sequence[str] = tuple(name for name, _ in _ALL)
