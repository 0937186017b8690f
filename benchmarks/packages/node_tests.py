"""Do ONNX's own backend tests pass in generated C? Every supported operator, in float.

``python -m benchmarks.packages.node_tests [--target TARGET] [--json FILE]`` lowers every node
test that consists of supported operators, generates and compiles one package for all of them,
runs it, and compares the outputs with those expected, at ONNX's own tolerances. It prints how
many passed for each operator (a graph of several counts for its first one), and every test that
was left out with its reason. The same for the models that PyTorch exported for ONNX's tests. The
exit code is 1 when a test failed.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Report, Unit, options
from benchmarks.packages.node_cases import (
    BY_RUNTIME,
    NODE,
    STORED,
    Case,
    Excluded,
    load_cases,
    run_cases,
)
from farm.codegen.build.compilers import Target, default_compiler, host_targets


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
    report.say(f"target {target}, compiler {default_compiler(target).label}")
    run_kinds(report, "node tests", (NODE,), target)
    run_kinds(report, "other tests", STORED, target)
    return report.close()


def run_kinds(report: Report, name: str, kinds: Sequence[str], target: Target) -> None:
    """Figures of some kinds of tests."""
    found = [case for kind in kinds for case in load_cases(kind)]
    cases = [case for case in found if isinstance(case, Case)]
    left_out = [case for case in found if isinstance(case, Excluded)]
    with tempfile.TemporaryDirectory() as folder:
        outputs = run_cases(cases, target, Path(folder) / "package")
    failures = {
        case.name: failure
        for case, results in zip(cases, outputs, strict=True)
        if (failure := case.failure(results))
    }
    by_operator(report, name, cases, failures)
    report.show(f"{name}: left out, by the reasons below", len(left_out), Unit.COUNT)
    for test in sorted(BY_RUNTIME.intersection(case.name for case in cases)):
        report.say(f"{test}: expects ONNX Runtime's answer, which is not ONNX's own")
    for case in left_out:
        report.say(f"{case.name}: {case.reason}")


def by_operator(
    report: Report, name: str, cases: Sequence[Case], failures: dict[str, str]
) -> None:
    """How many tests of each operator passed, and of all together."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.operators[0]].append(case)
    for operator, group in sorted(groups.items()):
        passed = sum(case.name not in failures for case in group)
        report.at_least(f"{name}, {operator}: passed", passed, len(group), Unit.COUNT)
        for case in group:
            if case.name in failures:
                report.say(f"{case.name}: {failures[case.name]}")
    passed = len(cases) - len(failures)
    report.at_least(f"{name}, all operators: passed", passed, len(cases), Unit.COUNT)


if __name__ == "__main__":
    sys.exit(main())
