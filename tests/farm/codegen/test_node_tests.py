"""ONNX's own node tests in generated C: all of them, in one package.

``benchmarks/node_tests.py`` prints the numbers.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.node_cases import SUPPORTED, Case, Excluded, load_cases, run_cases
from farm.codegen.compilers import Target, host_targets


@pytest.fixture(scope="module")
def found() -> list[Case | Excluded]:
    return list(load_cases())


@pytest.fixture(scope="module")
def cases(found: list[Case | Excluded]) -> list[Case]:
    return [case for case in found if isinstance(case, Case)]


def test_the_references_pass(cases):
    for case in cases:
        inputs = (tensor.name for tensor in case.program.inputs)
        results = case.program.run(dict(zip(inputs, case.inputs, strict=True)))
        outputs = [results[tensor.name] for tensor in case.program.outputs]
        assert not case.failure(outputs), case.name


@pytest.mark.parametrize("target", [host_targets()[0], Target.HEXAGON_HVX])
def test_generated_code_passes(cases, target, tmp_path, request):
    if target.is_hexagon:
        request.getfixturevalue("emulator")
    outputs = run_cases(cases, target, tmp_path / "package")
    failures = {
        case.name: failure
        for case, results in zip(cases, outputs, strict=True)
        if (failure := case.failure(results))
    }
    assert not failures


def test_every_operator_is_tested(cases):
    tested = {op for case in cases for op in case.operators}
    assert tested == SUPPORTED


def test_what_is_left_out(found):
    """Types other than float32, no elements, training, indices: nothing else."""
    known = (" is ", " no tensor", " no elements", "training mode")
    left_out = [case for case in found if isinstance(case, Excluded)]
    assert 0 < len(left_out) <= 50
    for case in left_out:
        assert any(reason in case.reason for reason in known), (case.name, case.reason)


def test_a_failure_says_how_outputs_differ(cases):
    case = cases[0]
    wrong = [np.asarray(array) + 1 for array in case.expected]
    assert "Mismatched elements" in case.failure(wrong)
