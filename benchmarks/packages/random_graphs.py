"""Random graphs through the farm, and every bit of their results compared.

``python -m benchmarks.packages.random_graphs [--graphs N] [--seed S] [--jobs N] [--json FILE]
[--quick]`` makes random models of 5 to 14 operators, half of them with a twist of real models:
outputs that are read, masks, offsets, scales unlike each other, NaN, other types, odd names, no
shapes, ... Each is loaded as a file is, planned, and taken through the code generator in one way:
as float, as int8, with some operators kept in float, quantised before by the farm or by ONNX
Runtime. The script prints how many were refused and why, and then, each with a target of 0, how
many

- ended in anything but an error of the farm, or warned,
- were refused in words that are no clean sentence, or with a remedy that does not exist,
- have tensors in places that overlap: in the package's arena, or in that of ``farm plan memory``,
  where the bytes of every tensor must still be there when they are read,
- do not compute what ONNX Runtime does: per channel and centred, floats within 1e-4, integers with
  about the noise that rounding every tensor to 8 bits has,
- lost what their outputs say while the farm's accuracy finds them good,
- have only integers and would not be checked bit for bit,
- get a wrong answer of ``farm package`` (most graphs with a twist, and all that were refused) or
  of ``farm tune`` (some),
- differ in C from the steps in numpy (bit by bit, where no float operator is involved), or between
  targets (always bit by bit), write around their memory, or give other outputs when they run
  again: on the best target of this host, without vectors, and for every fourth batch of graphs
  (``--hexagon``) on the Hexagon, where its emulator is installed.

What is found is named with the seed of its graph, and the model is kept with data in ``--keep``.
The exit code is 1 when there was anything.
"""

from __future__ import annotations

import farm.host.privacy  # noqa: F401  (first: it keeps what follows from sending anything)

# isort: split
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import onnxruntime as ort

from benchmarks.common import Report, Unit, options
from benchmarks.packages.graphs.cases import Case, unlike_reference
from benchmarks.packages.graphs.examine import Commands, Examined, Fault, Finding, examine
from benchmarks.packages.graphs.operators.proposal import Array
from benchmarks.packages.graphs.programs import Run, run_cases
from benchmarks.packages.graphs.subjects import NAMES, Kind, Subject, subject_of
from farm.codegen.build.compilers import Target, find_emulator, host_targets
from farm.errors import FarmError
from workers.child.agreement import bits
from workers.engines.session import EngineError

_BATCH = 20  # graphs in one program
_QUICK = 10  # graphs
_PACKAGED = (Kind.FLOAT, Kind.INT8, Kind.QDQ)
_TUNED = (
    "not a number",
    "other floats",
    "outputs without shapes",
    "random operators",
    "as many as the data says",
    "other domains",
)


@dataclass(frozen=True, slots=True)
class _Work:
    """One batch. hexagon: whether it runs there, too. keep: folder for models with findings."""

    seeds: range
    hexagon: bool
    keep: Path


@dataclass(slots=True)
class _Done:
    """What came of a batch."""

    findings: list[Finding] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    runs: Counter[Target] = field(default_factory=Counter)
    graphs: int = 0
    generated: int = 0
    operators: int = 0
    invalid: int = 0

    def add(self, other: _Done) -> None:
        """Count another batch."""
        self.findings += other.findings
        self.refusals += other.refusals
        self.runs += other.runs
        self.graphs += other.graphs
        self.generated += other.generated
        self.operators += other.operators
        self.invalid += other.invalid


def main() -> int:
    """Run the benchmark; the exit code."""
    parser = options(__doc__)
    parser.add_argument("--graphs", type=int, default=400, help="how many (default: 400)")
    parser.add_argument("--seed", type=int, default=0, help="of the first graph; others follow")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--hexagon", type=int, default=4, help="one batch of so many; 0: none")
    parser.add_argument("--keep", type=Path, default=Path("random-graphs"), metavar="DIR")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK} graphs")
    arguments = parser.parse_args()
    count = _QUICK if arguments.quick else arguments.graphs
    report = Report(__file__, arguments.json)
    seeds = range(arguments.seed, arguments.seed + count)
    whole = _Done()
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
        for done in pool.map(_batch, _works(seeds, arguments.hexagon, arguments.keep)):
            for found in done.findings:
                report.say(f"{found.name}: {found.fault}: {found.detail[:300]!r}")
            whole.add(done)
    _show(report, whole)
    return report.close()


def _works(seeds: range, hexagon: int, keep: Path) -> Iterator[_Work]:
    emulated = hexagon > 0 and find_emulator() is not None
    for number, first in enumerate(seeds[::_BATCH]):
        batch = range(first, min(first + _BATCH, seeds.stop))
        yield _Work(batch, emulated and number % hexagon == 0, keep)


def _show(report: Report, whole: _Done) -> None:
    report.show("graphs", whole.graphs, Unit.COUNT)
    report.show("graphs that ONNX Runtime does not take", whole.invalid, Unit.COUNT)
    report.show("graphs of which C was generated", whole.generated, Unit.COUNT)
    report.show("operators in them", whole.operators, Unit.COUNT)
    report.show("graphs refused", whole.refusals.total(), Unit.COUNT)
    for reason, times in whole.refusals.most_common():
        report.say(f"{times} times: {reason!r}")
    for target, times in whole.runs.items():
        report.show(f"graphs compiled and run for {target}", times, Unit.COUNT)
    for fault in Fault:
        seeds = sorted({found.seed for found in whole.findings if found.fault is fault})
        note = "seeds " + ", ".join(map(str, seeds)) if seeds else ""
        report.at_most(f"graphs: {fault}", len(seeds), 0, Unit.COUNT, note)


def _batch(work: _Work) -> _Done:
    """Examine the subjects of a batch, then run the code of all in one program."""
    ort.set_default_logger_severity(4)
    done = _Done(graphs=len(work.seeds))
    subjects: dict[int, Subject] = {}
    cases: dict[int, Case] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in work.seeds:
            subjects[seed] = subject_of(seed)
            examined = examine(subjects[seed], Path(folder), _commands(subjects[seed]))
            _count(done, examined)
            crashed = any(found.fault is Fault.CRASHED for found in examined.findings)
            if examined.case is not None and not crashed:
                cases[seed] = examined.case
    done.findings += _compare(cases, _targets(hexagon=work.hexagon), done.runs)
    for seed in {found.seed for found in done.findings}:
        subjects[seed].save(work.keep)
    return done


def _commands(subject: Subject) -> Commands:
    """Whole commands take seconds, so that only what they may stumble over is given to them."""
    turn = subject.seed // (2 * len(Kind) * len(NAMES))
    tuned = subject.twist in _TUNED and subject.seed % len(Kind) == turn % len(Kind)
    return Commands(bool(subject.twist) and subject.kind in _PACKAGED, tuned)


def _count(done: _Done, examined: Examined) -> None:
    done.findings += examined.findings
    done.invalid += examined.invalid
    if examined.case is not None:
        done.generated += 1
        done.operators += len(set(examined.case.generation.program.operators))
    elif examined.refusal:
        done.refusals[_without_names(examined.refusal)] += 1


def _without_names(message: str) -> str:
    """A message without names of files and operators, to count those that say the same."""
    message = re.sub(r"/\S*/seed-\d+", "MODEL", message)
    head, quote, rest = message.partition("'")
    return head + rest.partition("' ")[2] if quote else message


def _targets(*, hexagon: bool) -> Sequence[Target]:
    targets = list(dict.fromkeys((host_targets()[0], Target.PORTABLE)))
    return [*targets, Target.HEXAGON_HVX, Target.HEXAGON] if hexagon else targets


def _compare(
    cases: dict[int, Case], targets: Sequence[Target], runs: Counter[Target]
) -> Iterator[Finding]:
    """Run cases on all targets."""
    references = {seed: case.references() for seed, case in cases.items()}
    seen: dict[int, list[bytes]] = {}
    for target in targets:
        for seeds, run in _runs(cases, list(cases), target):
            if isinstance(run, str):
                name = f"{cases[seeds[0]].name}, {target}"
                yield Finding(Fault.NOT_RUN, seeds[0], name, run)
                continue
            runs[target] += len(seeds)
            for seed, outputs in zip(seeds, run.outputs, strict=True):
                case, name = cases[seed], f"{cases[seed].name}, {target}"
                if case.name in run.faults:
                    yield Finding(Fault.FAULTY, seed, name, run.faults[case.name])
                if unlike := unlike_reference(case, references[seed], outputs):
                    yield Finding(Fault.UNLIKE_NUMPY, seed, name, unlike)
                if seen.setdefault(seed, _bits(outputs)) != _bits(outputs):
                    yield Finding(Fault.UNLIKE_OTHERS, seed, name, "")


def _runs(
    cases: dict[int, Case], seeds: Sequence[int], target: Target
) -> Iterator[tuple[Sequence[int], Run | str]]:
    """All cases in one program; or in halves where that fails, down to the one to blame."""
    if not seeds:
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield seeds, run_cases([cases[seed] for seed in seeds], target, Path(folder))
    except (FarmError, EngineError) as error:
        if len(seeds) == 1:
            yield seeds, str(error)
            return
        middle = len(seeds) // 2
        yield from _runs(cases, seeds[:middle], target)
        yield from _runs(cases, seeds[middle:], target)


def _bits(outputs: Sequence[Sequence[Array]]) -> list[bytes]:
    return [bits(array) for feed in outputs for array in feed]


if __name__ == "__main__":
    sys.exit(main())
