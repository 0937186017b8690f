"""Do ONNX's own backend node tests pass in generated C? Every supported operator, in float.

``python benchmarks/node_tests.py [--target TARGET] [--json FILE]`` lowers every node test that
consists of supported operators, generates and compiles one package for all of them, runs it, and
compares the outputs with those expected, at ONNX's own tolerances. It prints how many passed for
each operator (a graph of several counts for its first one), and every test that was left out with
its reason; the exit code is 1 when one failed.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from common import Report, Unit, options
from node_cases import Case, Excluded, load_cases, run_cases

from farm.codegen.compilers import Target, default_compiler, host_targets


def main() -> int:
    """Print all figures; 1 when a test failed."""
    parser = options(__doc__)
    parser.add_argument(
        "--target",
        type=Target,
        choices=list(Target),
        default=host_targets()[0],
        help="compile for",
    )
    arguments = parser.parse_args()
    report = Report(__file__, arguments.json)
    target: Target = arguments.target
    found = list(load_cases())
    cases = [case for case in found if isinstance(case, Case)]
    left_out = [case for case in found if isinstance(case, Excluded)]
    report.say(f"target {target}, compiler {default_compiler(target).label}")
    with tempfile.TemporaryDirectory() as folder:
        outputs = run_cases(cases, target, Path(folder) / "package")
    failures = {
        case.name: failure
        for case, results in zip(cases, outputs, strict=True)
        if (failure := case.failure(results))
    }
    by_operator(report, cases, failures)
    report.show("left out, by the reasons below", len(left_out), Unit.COUNT)
    for case in left_out:
        report.say(f"{case.name}: {case.reason}")
    return report.close()


def by_operator(report: Report, cases: Sequence[Case], failures: dict[str, str]) -> None:
    """How many tests of each operator passed, and of all together."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.operators[0]].append(case)
    for operator, group in sorted(groups.items()):
        passed = sum(case.name not in failures for case in group)
        report.at_least(f"{operator}: tests passed", passed, len(group), Unit.COUNT)
        for case in group:
            if case.name in failures:
                report.say(f"{case.name}: {failures[case.name]}")
    passed = len(cases) - len(failures)
    report.at_least("all operators: tests passed", passed, len(cases), Unit.COUNT)


if __name__ == "__main__":
    sys.exit(main())
