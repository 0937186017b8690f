"""Fits the model of packets to counts of the emulator, and says how far off it is.

``python benchmarks/packet_model.py [--models FOLDER]`` makes packages of the example and of the
ONNX files of a folder, in int8 and in float32, for both Hexagon targets, counts the packets of
one run under qemu-hexagon, and fits the constants of ``farm.codegen.packets`` to them: least
squares of the relative error, no constant below zero. It prints the constants that fit best, and
the largest ratio between the count and what the constants in the farm say, one way or the other.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import ROOT, Report, Unit, options
from numpy.typing import NDArray
from scipy.optimize import nnls

from farm.candidate import Candidate, CPackageEmulated, HexagonTarget, Precision, StaticInt8
from farm.codegen.compiled import EMULATED_FILE
from farm.codegen.compilers import Target
from farm.codegen.packets import modelled_packets, step_bytes
from farm.compile.artifact import Compiler
from farm.dataset import Feed, split, synthetic_dataset
from farm.errors import FarmError
from farm.model import load_model
from workers.engines.runner import RunnerProcess

SAMPLES = 24
TARGETS: tuple[HexagonTarget, ...] = ("hexagon-v67-hvx", "hexagon-v67")
PRECISIONS = {"int8": Precision(quantization=StaticInt8()), "float32": Precision()}


@dataclass(frozen=True, slots=True)
class Count:
    """One package that was counted. steps, bytes, macs: what the model of packets looks at."""

    model: str
    steps: int
    bytes: int
    macs: int
    packets: int
    vector: int
    modelled: int

    @property
    def ratio(self) -> float:
        """How far the farm's constants are off, 1 is exact."""
        return max(self.modelled / self.packets, self.packets / self.modelled)


def main() -> int:
    """Print all figures."""
    parser = options(__doc__)
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="also count its ONNX files")
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    paths = [ROOT / "examples" / "digits.onnx"]
    paths += sorted(arguments.models.glob("*.onnx")) if arguments.models else []
    for target in TARGETS:
        for name, precision in PRECISIONS.items():
            candidate = Candidate(CPackageEmulated(target=target), precision)
            counts = list(counted(paths, candidate))
            report_fit(report, f"{target} {name}", counts)
    return report.close()


def counted(paths: list[Path], candidate: Candidate) -> Iterator[Count]:
    """The packages of these models; those that cannot be made are named and left out."""
    for path in paths:
        try:
            yield count(path, candidate)
        except FarmError as error:
            print(f"{path.stem}: {error}", file=sys.stderr)


def count(path: Path, candidate: Candidate) -> Count:
    """Make a package and count one run. Raises FarmError."""
    assert isinstance(candidate.engine, CPackageEmulated)
    target = Target(candidate.engine.target)
    model = load_model(path)
    parts = split(synthetic_dataset(model, SAMPLES, 0), 0)
    compiler = Compiler(model.proto, list(parts.calibration.samples()))
    with tempfile.TemporaryDirectory(prefix="farm-packets-") as name:
        compiler.compile(candidate, Path(name))
        sample = next(parts.confirmation.samples())
        packets, vector = run(Path(name) / EMULATED_FILE, target, sample)
    generation = compiler.generation(candidate)
    steps = [step for step, _ in generation.storage.steps]
    return Count(
        path.stem,
        len(steps),
        sum(step_bytes(step) for step in steps),
        generation.program.macs,
        packets,
        vector,
        modelled_packets(generation, target).all,
    )


def run(program: Path, target: Target, sample: Feed) -> tuple[int, int]:
    """Packets and vector instructions of one run."""
    runner = RunnerProcess(program, target)
    try:
        runner.run(list(sample.values()))
        found = runner.count(1)
        return found.packets, found.vector_instructions
    finally:
        runner.close()


def report_fit(report: Report, name: str, counts: list[Count]) -> None:
    """Show the best constants, and each model's ratio with those that the farm has."""
    packets = np.array([c.packets for c in counts], float)
    features = np.array([(c.steps, c.bytes, c.macs) for c in counts], float)
    constants: NDArray[np.float64] = nnls(features / packets[:, None], np.ones(len(counts)))[0]
    share = sum(c.vector for c in counts) / packets.sum()
    best = ", ".join(f"{v:.3g}" for v in constants)
    for c in counts:
        note = f"{c.packets:,} packets, {c.modelled:,} modelled"
        report.show(f"{name}, {c.model}: ratio", c.ratio, Unit.TIMES, note)
    worst = max(c.ratio for c in counts)
    note = f"best step, byte, mac: {best}; vector share {share:.2f}"
    report.show(f"{name}: largest ratio", worst, Unit.TIMES, note)


if __name__ == "__main__":
    sys.exit(main())
