"""The programs that the tests of kernels run.

A module names its TARGETS, and its cases by ``all_cases()`` or, where not all are for every
target, by ``cases_for(target)``; COMPILERS are others than the default one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest

from farm.codegen.build.compilers import Target
from tests.farm.codegen.kernel_harness import KernelProgram, Programs


@pytest.fixture(scope="session")
def programs_by_module(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[ModuleType, Programs]]:
    """Programs of all modules whose tests run: compiled while the first of them are tested."""
    pool = ThreadPoolExecutor(os.cpu_count())
    modules = dict.fromkeys(item.module for item in request.session.items)
    programs = {
        module: Programs(
            pool,
            getattr(module, "cases_for", lambda target, module=module: module.all_cases()),
            module.TARGETS,
            tmp_path_factory.mktemp("kernels"),
            getattr(module, "COMPILERS", ()),
        )
        for module in modules
        if hasattr(module, "all_cases")
    }
    yield programs
    for each in programs.values():
        each.close()
    pool.shutdown()


@pytest.fixture(scope="module")
def programs(
    programs_by_module: Mapping[ModuleType, Programs], request: pytest.FixtureRequest
) -> Iterator[Programs]:
    """The programs of the module."""
    yield programs_by_module[request.module]
    programs_by_module[request.module].close()


@pytest.fixture
def program(programs: Programs, target: Target, request: pytest.FixtureRequest) -> KernelProgram:
    """The module's program for the test's ``target``, which is skipped where nothing runs it."""
    if target.is_hexagon:
        request.getfixturevalue("emulator")
    return programs.on(target)
