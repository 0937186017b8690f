"""A package in its runner, on the host and under the emulator."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.build.toolchain import build_runner
from tests.farm.codegen.packages import expected, write_package
from workers.engines import runner
from workers.engines.runner import RunnerProcess
from workers.engines.session import EngineError

HEXAGON = (Target.HEXAGON, Target.HEXAGON_HVX)
PROMISES = {
    "((uint8_t *)memory)[1100]": 0xA5,
    "(uintptr_t)memory % 128": 0,
    "(uintptr_t)inputs[1] % 16": 8,
    "(uintptr_t)outputs[0] % 16": 8,
}
OUTSIDE = (
    (Target.PORTABLE, "((uint8_t *)memory)[1152] = 1;"),
    (Target.PORTABLE, "((uint8_t *)memory)[-1] = 1;"),
    (Target.PORTABLE, "((uint8_t *)outputs[0])[1024] = 1;"),
    (Target.PORTABLE, "((uint8_t *)outputs[1])[-1] = 1;"),
    (Target.PORTABLE, "((uint8_t *)outputs[1])[4] = 1;"),
    (Target.HEXAGON_HVX, "((uint8_t *)memory)[1152 + 127] = 1;"),
    (Target.HEXAGON_HVX, "((uint8_t *)outputs[1])[4] = 1;"),
)
CRASH = "__builtin_trap();"
HANG = "for (volatile int i = 0;;) { (void)i; }"
MISDEEDS = (*dict.fromkeys(statement for _, statement in OUTSIDE), CRASH, HANG)
Start = Callable[..., RunnerProcess]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Target, str], Path]:
    """Builds the small package, with what is put into it, when it is first asked for."""

    @cache
    def build(target: Target, extra: str) -> Path:
        folder = tmp_path_factory.mktemp("package")
        write_package(folder / "sources", extra)
        return build_runner(folder / "sources", target, folder / "runner").path

    return build


@pytest.fixture
def start(built: Callable[[Target, str], Path], request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts the small package, with what is put into it; ended afterwards."""
    started: list[RunnerProcess] = []

    def launch(target: Target, extra: str = "", **options: float) -> RunnerProcess:
        if target.is_hexagon:
            request.getfixturevalue("emulator")
        started.append(RunnerProcess(built(target, extra), target, **options))
        return started[-1]

    yield launch
    for each in started:
        each.close()


def arrays(seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).standard_normal((2, 256)).astype(np.float32))


def choice(statements: Sequence[str]) -> str:
    """One of several statements, by the first number of the first input."""
    cases = (f"case {i}: {{ {statement} }} break;" for i, statement in enumerate(statements))
    return f"switch ((int)a[0]) {{ {' '.join(cases)} }}"


def choosing(index: int) -> list[np.ndarray]:
    """Inputs that choose a statement."""
    a, b = arrays()
    a[0] = index
    return [a, b]


@pytest.mark.parametrize("target", [*host_targets(), *HEXAGON])
def test_the_same_floats_on_every_target(start, target):
    process = start(target)
    assert (process.input_bytes, process.output_bytes) == ((1024, 1024), (1024, 4))
    for seed in range(20):
        a, b = arrays(seed)
        result, total = process.run([a, b])
        want, want_total = expected(a, b)
        assert result.tobytes() == want.tobytes()
        assert total.view(np.float32)[0] == want_total


class TestCounting:
    def test_wall_time_on_the_host(self, start):
        process = start(Target.PORTABLE)
        process.run(arrays())
        counted = process.count(1000)
        assert 0 < counted.nanoseconds < 1_000_000_000
        assert (counted.packets, counted.instructions, counted.vector_instructions) == (0, 0, 0)

    def test_packets_under_the_emulator(self, start):
        process = start(Target.HEXAGON_HVX)
        process.run(arrays())
        one, ten = process.count(1), process.count(10)
        assert one.nanoseconds == 0
        assert one.packets < one.instructions <= 4 * one.packets
        assert 0 < one.vector_instructions < one.instructions
        assert ten.packets == 10 * one.packets
        assert ten.instructions == 10 * one.instructions

    def test_two_vector_instructions_in_one_packet(self, start):
        add, both = "v0.w = vadd(v1.w, v2.w)", "v3.w = vadd(v4.w, v5.w)"
        packets = [
            f'__asm__ volatile("{{ {text} }}" : : : "v0", "v3");'
            for text in (add, f"{add}\\n {both}")
        ]
        one, two = (start(Target.HEXAGON_HVX, text).count(1) for text in packets)
        assert two.packets == one.packets
        assert two.vector_instructions == one.vector_instructions + 1

    def test_again_and_in_another_process(self, start):
        counts = set()
        for _ in range(2):
            process = start(Target.HEXAGON)
            process.run(arrays())
            counts |= {process.count(3), process.count(3)}
        assert len(counts) == 1
        assert counts.pop().vector_instructions == 0, "it has no vector unit"

    def test_exactly_the_package(self, start):
        """Four more packets in the package are four more in the count."""
        nop = '__asm__ volatile("{ nop }");'
        one, five = (start(Target.HEXAGON, nop * n).count(1) for n in (1, 5))
        assert five.packets - one.packets == 4

    def test_loops_that_cannot_be(self, start):
        with pytest.raises(EngineError, match="Loops must be from 1 to 4294967295, not 0"):
            start(Target.PORTABLE).count(0)


class TestWhatThePackageGets:
    @pytest.mark.parametrize("expression", PROMISES)
    def test_no_more_than_promised(self, start, expression):
        process = start(Target.PORTABLE, choice([f"total = {each};" for each in PROMISES]))
        _, total = process.run(choosing([*PROMISES].index(expression)))
        assert total.view(np.float32)[0] == PROMISES[expression]

    def test_its_memory_keeps_what_it_wrote(self, start):
        process = start(Target.PORTABLE, "total = ((uint8_t *)memory)[1100]--;")
        totals = [process.run(arrays())[1].view(np.float32)[0] for _ in range(3)]
        assert totals == [0xA5, 0xA4, 0xA3]


class TestMisbehaviour:
    @pytest.mark.parametrize(("target", "statement"), OUTSIDE)
    def test_writing_outside(self, start, target, statement):
        process = start(target, choice(MISDEEDS))
        process.run(choosing(len(MISDEEDS)))  # none of them
        with pytest.raises(EngineError, match="wrote outside its memory or its outputs in 'run'"):
            process.run(choosing(MISDEEDS.index(statement)))

    def test_a_crash(self, start):
        process = start(Target.PORTABLE, choice(MISDEEDS))
        with pytest.raises(EngineError, match=r"The package ended by SIG(ILL|TRAP) in 'run'\."):
            process.run(choosing(MISDEEDS.index(CRASH)))

    def test_a_hang(self, start):
        process = start(Target.PORTABLE, choice(MISDEEDS), deadline=0.3)
        with pytest.raises(EngineError, match=r"did not answer 'run' within 0\.3 s; ended\."):
            process.run(choosing(MISDEEDS.index(HANG)))

    def test_inputs_of_another_size(self, start):
        process = start(Target.PORTABLE)
        with pytest.raises(EngineError) as caught:
            process.run([np.zeros(256, np.float32), np.zeros(3, np.float32)])
        assert str(caught.value) == (
            "The package takes inputs of 1024 and 1024 bytes, and was given 1024 and 12."
        )
        process.run(arrays())  # nothing was sent

    def test_a_program_that_is_not_there(self, tmp_path):
        with pytest.raises(EngineError, match=r"The runner .*/none cannot be started: "):
            RunnerProcess(tmp_path / "none", Target.PORTABLE)

    def test_no_emulator(self, tmp_path, monkeypatch):
        monkeypatch.setattr(runner, "find_emulator", lambda: None)
        with pytest.raises(EngineError, match=r"qemu-hexagon only, .*apt-get install qemu-user"):
            RunnerProcess(tmp_path / "model.elf", Target.HEXAGON)


def test_closing_ends_the_process(start):
    process = start(Target.PORTABLE)
    pid = process._process.pid
    process.close()
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
