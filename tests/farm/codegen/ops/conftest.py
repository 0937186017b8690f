"""The programs that the tests of kernels run.

A module names its TARGETS, and its cases by ``all_cases()`` or, where not all are for every
target, by ``cases_for(target)``; COMPILERS are others than the default one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from farm.codegen.build.compilers import Target
from tests.farm.codegen.kernel_harness import KernelProgram, Programs


@pytest.fixture(scope="module")
def programs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Programs]:
    """The programs of the module: compiled while the first of them are tested.

    Not before the module's turn: it may be another process that tests it.
    """
    module = request.module
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = Programs(
            pool,
            getattr(module, "cases_for", lambda _: module.all_cases()),
            module.TARGETS,
            tmp_path_factory.mktemp("kernels"),
            getattr(module, "COMPILERS", ()),
        )
        yield made
        made.close()


@pytest.fixture
def program(programs: Programs, target: Target, request: pytest.FixtureRequest) -> KernelProgram:
    """The module's program for the test's ``target``, which is skipped where nothing runs it."""
    if target.is_hexagon:
        request.getfixturevalue("emulator")
    return programs.on(target)
