"""Random graphs through the code generator, and every bit of their results compared.

``python benchmarks/random_graphs.py [--graphs N] [--seed S] [--json FILE] [--quick]`` makes random
models of 5 to 14 operators and takes each through the generator in one way: as float, as int8,
with some operators kept in float, quantised before by the farm or by ONNX Runtime. It prints how
many were refused and why, and then, each with a target of 0:

- how many ended in anything but an error of the farm,
- how many have tensors in places that overlap,
- how many do not compute what ONNX Runtime does: floats within 1e-4, integers with about the noise
  that rounding every tensor to 8 bits has,
- how many differ in C from the steps in numpy (bit by bit, where no float operator is involved),
  or between targets (always bit by bit), write around their memory, or give other outputs when
  they run again: on the best target of this host, without vectors, and for every fourth batch of
  graphs on the Hexagon, where its emulator is installed.

What is found is named with the seed of its graph. The exit code is 1 when there was anything.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort
from common import Report, Unit, options
from graphs.cases import Case, Kind, invalid_plan, make_case, unlike_model, unlike_reference
from graphs.maker import Array
from graphs.models import random_feeds, random_model
from graphs.programs import Run, run_cases

from farm.codegen.build.compilers import Target, find_emulator, host_targets
from farm.errors import FarmError
from workers.engines.session import EngineError

_BATCH = 20  # graphs in one program
_FEEDS = 4
_QUICK = 10  # graphs
_HEXAGON_BATCHES = 4  # one of them runs on the Hexagon


class _Tally:
    """What was found, by kind of finding."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.found: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def add(self, what: str, name: str, detail: str) -> None:
        """Count a finding and print it."""
        self.found[what] += 1
        self._report.say(f"{name}: {what}: {detail[:300]}")


def main() -> int:
    """Run the benchmark; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--graphs", type=int, default=400, help="how many (default: 400)")
    parser.add_argument("--seed", type=int, default=0, help="of the first graph; others follow")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK} graphs")
    arguments = parser.parse_args()
    count = _QUICK if arguments.quick else arguments.graphs
    ort.set_default_logger_severity(4)
    report = Report(__file__, arguments.json)
    tally = _Tally(report)
    seeds = range(arguments.seed, arguments.seed + count)
    generated, operators, runs = 0, 0, Counter[Target]()
    for number, first in enumerate(seeds[::_BATCH]):
        batch = range(first, min(first + _BATCH, seeds.stop))
        cases = [case for seed in batch if (case := _generated(seed, tally)) is not None]
        generated += len(cases)
        operators += sum(len(set(case.generation.program.operators)) for case in cases)
        for target in _compare(cases, _targets(number), tally):
            runs[target] += len(cases)
    report.show("graphs", count, Unit.COUNT)
    report.show("graphs of which C was generated", generated, Unit.COUNT)
    report.show("operators in them", operators, Unit.COUNT)
    report.show("graphs refused", tally.refusals.total(), Unit.COUNT)
    for reason, times in tally.refusals.most_common():
        report.say(f"{times} times: {reason}")
    for target, times in runs.items():
        report.show(f"graphs compiled and run for {target}", times, Unit.COUNT)
    for what in _FINDINGS:
        report.at_most(f"graphs: {what}", tally.found[what], 0, Unit.COUNT)
    return report.close()


_CRASHED = "generation ends in an exception"
_OVERLAPS = "the memory plan is not valid"
_UNLIKE_MODEL = "numpy is not near ONNX Runtime"
_NOT_RUN = "C does not compile or run"
_FAULTY = "C breaks a rule of packages"
_UNLIKE_NUMPY = "C is not numpy"
_UNLIKE_OTHERS = "C has other bits than on the first target"
_FINDINGS = (
    _CRASHED,
    _OVERLAPS,
    _UNLIKE_MODEL,
    _NOT_RUN,
    _FAULTY,
    _UNLIKE_NUMPY,
    _UNLIKE_OTHERS,
)


def _targets(batch: int) -> Sequence[Target]:
    targets = list(dict.fromkeys((host_targets()[0], Target.PORTABLE)))
    if find_emulator() is not None and batch % _HEXAGON_BATCHES == 0:
        targets += [Target.HEXAGON_HVX, Target.HEXAGON]
    return targets


def _generated(seed: int, tally: _Tally) -> Case | None:
    """The case of a seed, already compared with ONNX Runtime; None where there is none."""
    kind = list(Kind)[seed % len(Kind)]
    name = f"seed {seed}, {kind}"
    model = random_model(seed)
    try:
        case = make_case(name, model, kind, random_feeds(model, seed, _FEEDS))
    except FarmError as error:
        tally.refusals[_without_names(str(error))] += 1
        return None
    except Exception as error:  # noqa: BLE001 (whatever comes is what this script looks for)
        tally.add(_CRASHED, name, repr(error))
        return None
    if broken := invalid_plan(case):
        tally.add(_OVERLAPS, name, broken)
    if unlike := unlike_model(case, case.references()):
        tally.add(_UNLIKE_MODEL, name, unlike)
    return case


def _without_names(message: str) -> str:
    """A message without the operator's name and shapes, to count those that say the same."""
    head, quote, rest = message.partition("'")
    return head + rest.partition("' ")[2] if quote else message


def _compare(cases: Sequence[Case], targets: Sequence[Target], tally: _Tally) -> Sequence[Target]:
    """Run cases on all targets; those on which they ran."""
    if not cases:
        return ()
    references = {case.name: case.references() for case in cases}
    seen: dict[str, list[bytes]] = {}
    for target in targets:
        for group, run in _runs(cases, target, tally):
            for case, outputs in zip(group, run.outputs, strict=True):
                where = f"{case.name}, {target}"
                if case.name in run.faults:
                    tally.add(_FAULTY, where, run.faults[case.name])
                if unlike := unlike_reference(case, references[case.name], outputs):
                    tally.add(_UNLIKE_NUMPY, where, unlike)
                if seen.setdefault(case.name, _bits(outputs)) != _bits(outputs):
                    tally.add(_UNLIKE_OTHERS, where, "")
    return targets


def _runs(
    cases: Sequence[Case], target: Target, tally: _Tally
) -> Sequence[tuple[Sequence[Case], Run]]:
    """All cases in one program; or each in one, where that fails, to see which one is to blame."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return [(cases, run_cases(cases, target, Path(folder)))]
    except (FarmError, EngineError) as error:
        if len(cases) == 1:
            tally.add(_NOT_RUN, f"{cases[0].name}, {target}", str(error))
            return []
    return [run for case in cases for run in _runs([case], target, tally)]


def _bits(outputs: Sequence[Sequence[Array]]) -> list[bytes]:
    return [array.tobytes() for feed in outputs for array in feed]


if __name__ == "__main__":
    sys.exit(main())
