"""ONNX's own node tests in generated C: all of them, in one package.

``benchmarks/packages/node_tests.py`` prints the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from benchmarks.packages.node_cases import (
    BY_RUNTIME,
    SUPPORTED,
    Case,
    Excluded,
    load_cases,
    run_cases,
)
from farm.codegen.build.compilers import Target, find_emulator, host_targets

CASTS = frozenset({"Cast"})
"""All of ONNX's tests of these are from or to types that generated code does not know."""

TARGETS = [host_targets()[0], Target.HEXAGON_HVX]


@pytest.fixture(scope="module")
def found() -> list[Case | Excluded]:
    return list(load_cases())


@pytest.fixture(scope="module")
def cases(found: list[Case | Excluded]) -> list[Case]:
    return [case for case in found if isinstance(case, Case)]


@pytest.fixture(scope="module")
def outputs(
    cases: list[Case], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Target, Future[list[tuple[np.ndarray, ...]]]]]:
    """What generated code computes, by target; compiled side by side."""
    folder = tmp_path_factory.mktemp("packages")
    targets = [target for target in TARGETS if find_emulator() or not target.is_hexagon]
    with ThreadPoolExecutor() as pool:
        yield {each: pool.submit(run_cases, cases, each, folder / each) for each in targets}


@pytest.mark.usefixtures("outputs")  # which are computed meanwhile
def test_the_references_pass(cases):
    for case in cases:
        inputs = (tensor.name for tensor in case.program.inputs)
        results = case.program.run(dict(zip(inputs, case.inputs, strict=True)))
        outputs = [results[tensor.name] for tensor in case.program.outputs]
        assert not case.failure(outputs), case.name


@pytest.mark.parametrize("target", TARGETS)
def test_generated_code_passes(cases, outputs, target, request):
    if target.is_hexagon:
        request.getfixturevalue("emulator")
    failures = {
        case.name: failure
        for case, results in zip(cases, outputs[target].result(), strict=True)
        if (failure := case.failure(results))
    }
    assert not failures


def test_every_operator_is_tested(cases):
    tested = {op for case in cases for op in case.operators}
    assert tested == SUPPORTED - CASTS


def test_only_two_have_other_answers_than_onnxs(cases):
    assert {case.name for case in cases} >= BY_RUNTIME
    assert len(BY_RUNTIME) == 2


def test_what_is_left_out(found):
    """Types other than float32, no elements, training, indices: nothing else."""
    known = (" is ", " no tensor", " no elements", "training mode")
    left_out = [case for case in found if isinstance(case, Excluded)]
    assert 0 < len([case for case in left_out if not CASTS.intersection(case.operators)]) <= 65
    for case in left_out:
        assert any(reason in case.reason for reason in known), (case.name, case.reason)


def test_a_failure_says_how_outputs_differ(cases):
    case = cases[0]
    wrong = [np.asarray(array) + 1 for array in case.expected]
    assert "Mismatched elements" in case.failure(wrong)
