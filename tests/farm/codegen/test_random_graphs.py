"""Random graphs through the code generator: a few of those of ``benchmarks/random_graphs.py``."""

from __future__ import annotations

import pytest

from benchmarks.graphs.cases import (
    Kind,
    invalid_plan,
    make_case,
    unlike_model,
    unlike_reference,
)
from benchmarks.graphs.models import random_feeds, random_model
from benchmarks.graphs.programs import Run, run_cases
from farm.codegen.build.compilers import Target

SEEDS = {
    Kind.FLOAT: (70,),
    Kind.INT8: (21, 29),
    Kind.MIXED: (58,),
    Kind.QDQ: (43,),
    Kind.RUNTIME_QDQ: (26,),
}


@pytest.fixture(scope="module")
def cases():
    found = []
    for kind, seeds in SEEDS.items():
        for seed in seeds:
            model = random_model(seed)
            feeds = random_feeds(model, seed, 2)
            found.append(make_case(f"seed {seed}, {kind}", model, kind, feeds))
    return found


@pytest.fixture(scope="module")
def run(cases, tmp_path_factory) -> Run:
    return run_cases(cases, Target.PORTABLE, tmp_path_factory.mktemp("portable"))


def test_a_seed_always_gives_the_same_model():
    assert random_model(3) == random_model(3) != random_model(4)


def test_numpy_is_near_onnx_runtime(cases):
    found = {case.name: unlike_model(case, case.references()) for case in cases}
    assert found == dict.fromkeys(found, "")


def test_memory_plans_are_valid(cases):
    found = {case.name: invalid_plan(case) for case in cases}
    assert found == dict.fromkeys(found, "")


def test_generated_c_is_numpy(cases, run):
    found = {
        case.name: unlike_reference(case, case.references(), outputs)
        for case, outputs in zip(cases, run.outputs, strict=True)
    }
    assert found == dict.fromkeys(found, "")


def test_packages_keep_to_their_memory_and_repeat_themselves(run):
    assert run.faults == {}


def test_a_single_bit_is_found(cases):
    case = next(case for case in cases if case.is_exact)
    references, outputs = case.references(), case.references()
    outputs[0][0].reshape(-1)[:1] += 1e-6
    assert "elements of" in unlike_reference(case, references, outputs)
