"""Fits the model of packets to counts of the emulator, and says how far off it is.

``python -m benchmarks.packages.packet_model [--models FOLDER] [--kernels NAMES] [--write]`` makes
packages of the models of single operators in ``packet_operators.py``, in int8 and in float32, for
both Hexagon targets, counts the packets of every step under qemu-hexagon, and fits the prices of
each kernel to them: least squares of the relative error, no price below zero, as few prices as do
almost as well as all. ``--write`` replaces ``farm/codegen/package/packets.toml`` by what was
fitted; with ``--kernels`` only the prices of these, which depend on no other kernel. The ratios
are of counts and of what the farm's prices say, the larger over the smaller: for single
operators, and for whole models, which are the example and those of the folder. Nothing was fitted
to them.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.common import ROOT, Report, Unit, options
from benchmarks.packages.packet_operators import operator_models
from farm.artifact.compiler import Compiler
from farm.candidate import Candidate, CPackageEmulated, HexagonTarget, Precision, StaticInt8
from farm.codegen.build.compilers import Target
from farm.codegen.build.toolchain import build_runner
from farm.codegen.package.compiled import port_of
from farm.codegen.package.packets import PRICES, counts, step_packets
from farm.codegen.package.stamps import counted_steps, stamped
from farm.codegen.package.write import write_sources
from farm.codegen.program import Array, PortType, Step
from farm.dataset import split, synthetic_dataset
from farm.errors import FarmError
from farm.model.model import load_model
from workers.engines.runner import RunnerProcess

SAMPLES = 24
TARGETS: tuple[HexagonTarget, ...] = ("hexagon-v67-hvx", "hexagon-v67")
PRECISIONS = {"int8": Precision(quantization=StaticInt8()), "float32": Precision()}
PORTS = {"ports": PortType.INT8}  # of models by name
MORE_ERROR = 1.01  # what may be lost for a price less
CLOSE = 1.3  # a ratio that operators should stay within,
MOST = {"int8": 1.15, "float32": 1.3}  # and whole models

Floats = NDArray[np.float64]

_TIMES = Unit.TIMES
_HEADER = """\
# Prices of the model of packets, see packets.py: [target.kernel], "loop.way" = [packets, vector
# instructions]. Written by benchmarks/packages/packet_model.py.
"""


@dataclass(frozen=True, slots=True)
class Count:
    """What one step of a model took under the emulator."""

    step: Step
    packets: int
    vector: int


def main() -> int:
    """Print all figures."""
    parser = options(__doc__)
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="also check its ONNX files")
    parser.add_argument("--kernels", help="fit the prices of these alone: names, with commas")
    parser.add_argument("--write", action="store_true", help="replace the farm's prices first")
    arguments = parser.parse_args()
    kernels = frozenset(arguments.kernels.split(",")) if arguments.kernels else None
    report = Report(__file__, arguments.json)
    operators = {target: list(operator_counts(target, kernels)) for target in TARGETS}
    fitted = "".join(price_lines(Target(target), found) for target, found in operators.items())
    prices = ROOT / "farm" / "codegen" / "package" / PRICES
    if kernels:
        fitted = with_sections(prices.read_text(encoding="utf-8"), fitted)
    if arguments.write:
        prices.write_text(_HEADER + fitted, encoding="utf-8")
    else:
        unlike = prices.read_text(encoding="utf-8") != _HEADER + fitted
        report.at_most("the farm's prices are not those that fit best", unlike, 0, Unit.COUNT)
    paths = [ROOT / "examples" / "digits.onnx"]
    paths += sorted(arguments.models.glob("*.onnx")) if arguments.models else []
    for target in TARGETS:
        report_operators(report, Target(target), operators[target])
        for precision in PRECISIONS:
            report_models(report, target, precision, paths)
    return report.close()


def operator_counts(
    target: HexagonTarget, kernels: frozenset[str] | None = None
) -> Iterator[Count]:
    """Counts of steps of the models of single operators, in all precisions.

    kernels: whose steps. None: all.
    """
    with tempfile.TemporaryDirectory(prefix="farm-packets-") as folder:
        for name, model in operator_models():
            path = Path(folder) / f"{name}.onnx"
            onnx.save(model, path)
            ports = PORTS.get(name, PortType.FLOAT32)
            for precision in PRECISIONS.values():
                yield from step_counts(path, target, precision, kernels, ports)


def step_counts(
    path: Path,
    target: HexagonTarget,
    precision: Precision,
    kernels: frozenset[str] | None = None,
    ports: PortType = PortType.FLOAT32,
) -> list[Count]:
    """Make a package that counts its own steps, and run it once.

    kernels: whose steps; nothing is run where there are none. None: all. Raises FarmError.
    """
    model = load_model(path)
    parts = split(synthetic_dataset(model, SAMPLES, 0), 0)
    compiler = Compiler(model.proto, list(parts.calibration.samples()), ports=ports)
    generation = compiler.generation(Candidate(CPackageEmulated(target=target), precision))
    steps = [step for step, _ in generation.storage.steps]
    wanted = [kernels is None or step.work.kernel in kernels for step in steps]
    if not any(wanted):
        return []
    with tempfile.TemporaryDirectory(prefix="farm-packets-") as name:
        folder, program = Path(name), Path(name) / "counting"
        write_sources(folder, stamped(generation, Target(target)))
        build_runner(folder, Target(target), program)
        sample = next(parts.confirmation.samples())
        given = [port_of(t).elements(sample[t.label]) for t in generation.program.inputs]
        found = run(program, Target(target), given)
    counted = zip(steps, found.tolist(), wanted, strict=True)
    return [Count(step, *each) for step, each, is_wanted in counted if is_wanted]


def run(program: Path, target: Target, inputs: Sequence[Array]) -> NDArray[np.int64]:
    """Packets and vector instructions of every step: [steps, 2]."""
    with RunnerProcess(program, target) as runner:
        return counted_steps(runner.run(inputs)[-1])


def price_lines(target: Target, found: Sequence[Count]) -> str:
    """The prices of all kernels that fit these counts best, as TOML."""
    by_kernel: dict[str, list[Count]] = defaultdict(list)
    for each in found:
        by_kernel[each.step.work.kernel].append(each)
    text = ""
    for kernel, steps in sorted(by_kernel.items()):
        text += f"\n[{target}.{kernel}]\n"
        for name, (packets, vector) in fit(steps, target).items():
            text += f'"{name}" = [{round(packets, 4):.4g}, {round(vector, 4):.4g}]\n'
    return text


def with_sections(text: str, fitted: str) -> str:
    """The prices that a file has, with those of some kernels in their places; TOML, no header."""

    def sections(lines: str) -> dict[str, str]:
        parts = re.split(r"^(?=\[)", lines, flags=re.MULTILINE)[1:]
        return {part.partition("]")[0]: part.strip() for part in parts}

    def place(name: str) -> tuple[int, str]:
        target, _, kernel = name.removeprefix("[").partition(".")
        return [str(each) for each in TARGETS].index(target), kernel

    together = sections(text) | sections(fitted)
    return "".join(f"\n{together[name]}\n" for name in sorted(together, key=place))


def fit(steps: Sequence[Count], target: Target) -> dict[str, tuple[float, float]]:
    """Prices in packets and in vector instructions of what counts, by loop and way."""
    rows = [counts(each.step.work, target) for each in steps]
    names = sorted({name for row in rows for name in row})
    packets = np.array([each.packets for each in steps], float)
    vector = np.array([each.vector for each in steps], float)
    features = np.array([[row.get(name, 0) for name in names] for row in rows])
    kept = fewest(features / packets[:, None])
    chosen = features[:, kept]
    each_packets = nnls(chosen / packets[:, None], np.ones(len(steps)))[0]
    scale = np.maximum(vector, 1.0)
    each_vector = nnls(chosen / scale[:, None], vector / scale)[0]
    pairs = zip(each_packets.tolist(), each_vector.tolist(), strict=True)
    return dict(zip([names[i] for i in kept], pairs, strict=True))


def fewest(features: Floats) -> list[int]:
    """The columns of which a sum with positive factors is 1 almost as well as of all of them.

    They are left out one by one, always the one that is missed least.
    """

    def error(columns: list[int]) -> float:
        return float(nnls(features[:, columns], np.ones(len(features)))[1])

    factors, least = nnls(features, np.ones(len(features)))
    kept = np.flatnonzero(factors).tolist()
    while len(kept) > 1:
        without = {i: error([other for other in kept if other != i]) for i in kept}
        worst = min(without, key=without.__getitem__)
        if without[worst] > MORE_ERROR * least:
            break
        kept.remove(worst)
    return kept


def report_operators(report: Report, target: Target, found: Sequence[Count]) -> None:
    """Show how far the farm's prices are off for every kernel's steps, and for all."""
    by_kernel: dict[str, list[float]] = defaultdict(list)
    for each in found:
        by_kernel[each.step.work.kernel].append(
            ratio(step_packets(each.step, target).all, each.packets)
        )
    for kernel, ratios in sorted(by_kernel.items()):
        note = f"largest {max(ratios):.2f}, {len(ratios)} steps"
        report.show(f"{target}, {kernel}: median ratio", float(np.median(ratios)), _TIMES, note)
    every = np.concatenate(list(by_kernel.values()))
    name = f"{target}: operators that prices were fitted to, within {CLOSE}"
    report.at_least(name, float((every <= CLOSE).mean()), 0.95)


def report_models(
    report: Report, target: HexagonTarget, precision: str, paths: Sequence[Path]
) -> None:
    """Show how far the farm's prices are off for whole models."""
    for path in paths:
        try:
            found = step_counts(path, target, PRECISIONS[precision])
        except FarmError as error:
            report.say(f"{path.stem}: {error}")
            continue
        modelled = sum(step_packets(each.step, Target(target)).all for each in found)
        packets = sum(each.packets for each in found)
        name = f"{target} {precision}, {path.stem}: ratio"
        ratios = [ratio(step_packets(c.step, Target(target)).all, c.packets) for c in found]
        close = sum(each <= CLOSE for each in ratios) / len(ratios)
        note = f"{packets:,} packets, {modelled:,} modelled; steps within {CLOSE}: {close:.0%}"
        report.at_most(name, ratio(modelled, packets), MOST[precision], _TIMES, note)


def ratio(modelled: int, packets: int) -> float:
    """How far a modelled number is off, 1 is exact."""
    return max(modelled, packets) / max(1, min(modelled, packets))


if __name__ == "__main__":
    sys.exit(main())
