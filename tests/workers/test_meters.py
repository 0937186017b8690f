"""The meters on constructed clocks, counters and allocations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.devices.profile import load_profiles
from tests.rapl import FakeRapl
from workers.engines.session import Array, Feeds, Session
from workers.meters import latency, memory
from workers.meters.disturbance import MachineReading
from workers.meters.energy import (
    POWERCAP,
    CounterError,
    RaplCounter,
    count_runs,
    count_session,
    find_rapl,
    idle_watts,
    without_idle,
)
from workers.meters.energy_window import energy_window
from workers.meters.latency import is_steady
from workers.protocol import EnergyCount

quick = settings(max_examples=60, deadline=None, derandomize=True)
ROOT = Path(__file__).parents[2]


class ScriptedSession(Session):
    """Has the seconds per run that it is told, one after the other, then the last for ever."""

    def __init__(self, seconds: Iterable[float]) -> None:
        self.assignment = {"scripted": 1}
        self._seconds = list(seconds)
        self.calls: list[int] = []

    def run(self, feeds: Feeds) -> list[Array]:
        return []

    def set_feeds(self, feeds: Feeds) -> None:
        pass

    def timed(self, loops: int) -> int:
        self.calls.append(loops)
        seconds = self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        return int(seconds * loops * 1e9)


class TestIsSteady:
    def test_level_noise_is_steady(self):
        assert is_steady(np.random.default_rng(1).normal(1.0, 0.02, 20))

    def test_a_constant_is_steady(self):
        assert is_steady([1e-3] * 20)

    def test_fewer_than_twenty_values_are_not(self):
        assert not is_steady([1.0] * 19)
        assert not is_steady([])

    def test_halves_that_differ_are_not(self):
        assert not is_steady(np.r_[np.full(10, 1.12), np.full(10, 1.0)])
        assert not is_steady(np.r_[np.full(10, 1.0), np.full(10, 1.12)])

    def test_a_slow_first_value_is_warm_up(self):
        values = np.random.default_rng(1).normal(1.0, 0.02, 20)
        values[0] = 1.3
        assert not is_steady(values)

    def test_only_the_last_twenty_count(self):
        assert is_steady(np.r_[np.full(5, 9.0), np.full(20, 1.0)])

    @quick
    @given(st.lists(st.floats(0.5, 2.0), min_size=20, max_size=40), st.floats(1e-7, 1e3))
    def test_the_unit_does_not_matter(self, values, factor):
        scaled = [value * factor for value in values]
        assert is_steady(values) == is_steady(scaled)


class TestLatency:
    @pytest.mark.parametrize("seconds", [20e-9, 51e-6, 3e-3, 0.0099])
    def test_calibration_reaches_the_target_and_not_much_more(self, seconds):
        loops = latency.calibrate(ScriptedSession([seconds]), 0.01)
        assert 0.01 <= loops * seconds <= 0.012 or loops == 2

    def test_a_slow_run_is_its_own_sample(self):
        session = ScriptedSession([10.0])
        assert latency.calibrate(session, 0.01) == 1
        assert session.calls == [1], "nothing interrupts a run for so long"

    def test_one_short_sample_is_not_trusted(self):
        session = ScriptedSession([1e-12, 1e-4])
        assert 100 <= latency.calibrate(session, 0.01) <= 120

    def test_an_interrupted_sample_is_not_trusted(self):
        interrupted = ScriptedSession([0.05, 1e-4])
        assert 100 <= latency.calibrate(interrupted, 0.01) <= 120

    def test_warm_up_ends_when_it_is_steady(self):
        slow_first = [5.0, 3.0, 2.0, 1.0]
        warmup = latency.warm_up(ScriptedSession(slow_first), 1, cap_seconds=10.0)
        assert warmup.steady
        assert warmup.values == 23, "the 20 values that count begin after the slow ones"

    def test_warm_up_ends_at_the_cap(self):
        class Growing(ScriptedSession):
            def timed(self, loops: int) -> int:
                self.calls.append(loops)
                return int(1e6 * 1.05 ** len(self.calls))

        began = time.monotonic()
        warmup = latency.warm_up(Growing([1.0]), 1, cap_seconds=0.02)
        assert time.monotonic() - began < 1.0
        assert not warmup.steady
        assert warmup.at_pace, "nothing is known of a clock"

    def test_warm_up_has_a_value_however_slow_it_is(self):
        session = ScriptedSession([10.0])
        assert latency.warm_up(session, 1, cap_seconds=0.0).values == 1
        assert len(session.calls) == 1

    def test_a_sample_is_an_average_over_its_loops(self):
        sample = latency.sample([ScriptedSession([1e-3])], 12)
        assert sample.loops == 12
        assert sample.seconds == pytest.approx(1e-3)
        assert sample.cpu_seconds >= 0
        assert sample.involuntary_switches >= 0

    def test_a_sample_warms_up_again_first(self):
        session = ScriptedSession([1e-3])
        latency.sample([session], 12)
        assert session.calls[-1] == 12
        assert set(session.calls[:-1]) == {1}

    def test_what_is_slow_does_not(self):
        session = ScriptedSession([10.0])
        assert latency.sample([session], 1, rewarm=False).seconds == pytest.approx(10.0)
        assert session.calls == [1]

    def test_callers_begin_together_and_the_slowest_counts(self):
        quick, slow = ScriptedSession([1e-3]), ScriptedSession([3e-3])
        sample = latency.sample([quick, slow], 12)
        assert sample.seconds == pytest.approx(3e-3)
        assert sample.loops == 12
        assert quick.calls[-1] == slow.calls[-1] == 12

    def test_callers_share_the_processor_time(self):
        class Busy(ScriptedSession):
            def timed(self, loops: int) -> int:
                start = time.thread_time_ns()
                while time.thread_time_ns() - start < 2_000_000 * loops:
                    pass
                return super().timed(loops)

        sample = latency.sample([Busy([2e-3]), Busy([2e-3])], 5)
        assert sample.cpu_seconds == pytest.approx(2e-3, rel=0.5), "of one run"

    def test_what_transfers_take_is_of_runs_side_by_side(self):
        """On a machine that gets slower all the time."""

        class Slower(ScriptedSession):
            def timed(self, loops: int) -> int:
                self.calls.append(loops)
                return int(1e9 * loops * 1.05 ** len(self.calls))

            def with_transfers(self, loops: int) -> int:
                return int(1.5 * self.timed(loops))

        ratio = latency.transfer_ratio([Slower([1.0])], 3, rewarm=False)
        assert ratio == pytest.approx(1.5, rel=0.051)
        both = [Slower([1.0]), Slower([1.0])]
        assert latency.transfer_ratio(both, 3, rewarm=False) == pytest.approx(1.5, rel=0.051)

    def test_single_runs_end_by_count_or_by_time(self):
        assert latency.single_runs(ScriptedSession([0.5]), 7, 10.0) == [0.5] * 7
        assert latency.single_runs(ScriptedSession([0.5]), 7, 0.0) == []

    def test_throughput_counts_the_runs_of_all_callers(self):
        inside: list[Session] = []
        together: list[int] = []

        class Sleeping(ScriptedSession):
            def timed(self, loops: int) -> int:
                if threading.current_thread() is not threading.main_thread():  # it calibrates
                    self.calls.append(loops)
                    inside.append(self)
                    together.append(len(inside))
                    time.sleep(0.01 * loops)
                    inside.remove(self)
                return 10_000_000 * loops

        sessions = [Sleeping([1.0]), Sleeping([1.0])]
        began = time.perf_counter()
        found = latency.throughput(sessions, 0.2)
        most = time.perf_counter() - began
        runs = sum(sum(session.calls) for session in sessions)
        assert runs / most <= found <= runs / 0.2
        assert max(together) == 2, "they call at the same time"


@pytest.mark.skipif(sys.platform != "linux", reason="a peak is reset on Linux alone")
class TestGrowth:
    SIZE = 64 << 20

    def test_what_is_left_out_does_not_count(self):
        growth = memory.Growth()
        with growth.left_out():
            np.ones(self.SIZE, np.uint8)
        assert growth.peak() < self.SIZE / 2

    def test_nor_does_what_it_leaves_behind(self):
        growth = memory.Growth()
        with growth.left_out():
            kept = np.ones(self.SIZE, np.uint8)
        assert growth.peak() < self.SIZE / 2
        assert kept.all()

    def test_what_comes_before_and_after_does(self):
        growth = memory.Growth()
        np.ones(self.SIZE, np.uint8)
        with growth.left_out():
            pass
        assert growth.peak() > self.SIZE / 2
        grown = memory.Growth()
        with grown.left_out():
            pass
        np.ones(self.SIZE, np.uint8)
        assert grown.peak() > self.SIZE / 2


class TestDisturbance:
    quiet = MachineReading(at=100.0, steal_ticks=50, pressure_seconds=7.0)

    def later(self, seconds: float, steal: int = 0, pressure: float = 0.0) -> MachineReading:
        return MachineReading(100.0 + seconds, 50 + steal, 7.0 + pressure)

    def test_a_quiet_block_is_kept(self):
        assert self.later(1.0).disturbed_since(self.quiet) == ""

    def test_steal_is_named(self):
        ticks = int(0.05 * os.sysconf("SC_CLK_TCK") * (os.cpu_count() or 1)) + 2
        found = self.later(1.0, steal=ticks).disturbed_since(self.quiet)
        assert found.startswith("the hypervisor took ")
        assert found.endswith(" of the processor time")

    def test_a_single_tick_says_nothing(self):
        assert self.later(1e-3, steal=1).disturbed_since(self.quiet) == ""

    def test_pressure_is_named(self):
        found = self.later(2.0, pressure=0.5).disturbed_since(self.quiet)
        assert found == "threads waited for a processor 25% of the time"

    def test_pressure_below_the_limit_is_kept(self):
        assert self.later(2.0, pressure=0.19).disturbed_since(self.quiet) == ""

    def test_no_time_between_two_readings(self):
        assert self.quiet.disturbed_since(self.quiet) == ""

    def test_reading_the_machine(self):
        before = MachineReading.now()
        after = MachineReading.now()
        assert after.at >= before.at
        assert after.steal_ticks >= before.steal_ticks >= 0
        assert after.pressure_seconds >= before.pressure_seconds >= 0
        assert replace(after, steal_ticks=before.steal_ticks).at == after.at


class TestRapl:
    def test_a_machine_without_a_counter(self, tmp_path):
        assert find_rapl(tmp_path) is None
        assert find_rapl(tmp_path / "nowhere") is None

    def test_a_counter_that_may_not_be_read(self, tmp_path):
        rapl = FakeRapl(tmp_path)
        (rapl.packages[0] / "energy_uj").unlink()
        assert find_rapl(tmp_path) is None

    def test_packages_are_summed_and_their_parts_are_not(self, tmp_path):
        rapl = FakeRapl(tmp_path)
        counter = find_rapl(tmp_path)
        assert counter is not None
        before = counter.read()
        rapl.spend(50_000)
        assert len(before) == 2
        assert counter.joules_between(before, counter.read()) == pytest.approx(0.1)

    def test_a_wrap_around_is_seen(self, tmp_path):
        rapl = FakeRapl(tmp_path)
        counter = find_rapl(tmp_path)
        assert counter is not None
        before = counter.read()
        rapl.spend(300_000)  # 100000 below its range to begin with
        assert counter.joules_between(before, counter.read()) == pytest.approx(0.6)

    @quick
    @given(start=st.integers(0, 999), spent=st.integers(0, 999))
    def test_any_delta_shorter_than_the_range(self, start, spent):
        counter = RaplCounter((), (1000,))
        after = (start + spent) % 1000
        assert counter.joules_between((start,), (after,)) == pytest.approx(spent / 1e6)

    def test_the_platform_around_a_package_is_not_added_to_it(self, tmp_path):
        """As a laptop of Intel's tells both: psys holds what the package draws."""
        rapl = FakeRapl(tmp_path)
        (rapl.packages[1] / "name").write_text("psys\n")
        counter = find_rapl(tmp_path)
        assert counter is not None
        assert counter.domains == (rapl.packages[0],)

    def test_a_counter_that_stands_still(self, tmp_path, monkeypatch):
        """It can be read, and tells nothing; a machine that draws nothing is none."""
        rapl = FakeRapl(tmp_path)
        monkeypatch.setenv(POWERCAP, str(rapl.root))
        counter = find_rapl()
        assert counter is not None
        assert energy_window(load_profiles()["cpu"]) is None
        for counted in (
            lambda: idle_watts(counter, 0.0),
            lambda: count_runs(counter, lambda _: 1, 0.0),
        ):
            with pytest.raises(CounterError, match="stands still"):
                counted()
        with rapl.counting():
            assert energy_window(load_profiles()["cpu"]) == 0.5

    def test_what_runs_draw_is_counted(self, tmp_path):
        """100 mJ per package in 20 runs."""
        rapl = FakeRapl(tmp_path)
        counter = find_rapl(tmp_path)
        assert counter is not None

        def run_for(seconds: float) -> int:
            rapl.spend(100_000)
            time.sleep(seconds)
            return 20

        found = count_runs(counter, run_for, 0.02)
        assert (found.joules, found.runs) == (pytest.approx(0.2), 20)
        assert 0.02 <= found.seconds < 1.0

    def test_idle_power_before_and_after_is_subtracted(self):
        """What may be wrong: one count of each reading, and half of what idle power changed."""
        found = without_idle(EnergyCount(30.0, 10, 0.5, 1e-3), 19.0, 21.0)
        assert found.idle_watts == 20.0
        assert found.joules == pytest.approx(2.0)
        assert found.error == pytest.approx(((60.0 + 2 * 20.0) * 1e-3 + 0.5) / 10)
        assert found.is_told

    @pytest.mark.parametrize("joules", [9.7, 10.0, 10.1])
    def test_energy_below_what_a_counter_tells_keeps_its_sign(self, joules):
        found = without_idle(EnergyCount(joules, 1, 0.5, 1e-3), 20.0, 20.0)
        assert found.joules == pytest.approx(joules - 10.0)
        assert not found.is_told

    def test_a_counter_that_cannot_be_read_any_more(self, tmp_path):
        rapl = FakeRapl(tmp_path)
        counter = find_rapl(tmp_path)
        assert counter is not None
        file = rapl.packages[1] / "energy_uj"
        file.write_text("")
        with pytest.raises(CounterError, match=r"energy_uj cannot be read: it holds no number\.$"):
            idle_watts(counter, 0.0)
        file.unlink()
        with pytest.raises(CounterError) as told:
            count_runs(counter, lambda _: 1, 0.0)
        assert str(told.value) == (
            f"The energy counter {file} cannot be read: No such file or directory."
        )

    def test_its_folder_may_be_elsewhere(self, tmp_path, monkeypatch):
        monkeypatch.setenv(POWERCAP, str(FakeRapl(tmp_path / "here").root))
        assert find_rapl() is not None
        monkeypatch.setenv(POWERCAP, str(tmp_path / "nowhere"))
        assert find_rapl() is None

    def test_what_is_counted_is_what_it_is_divided_by(self):
        """A session whose every run takes a joule, those that choose the loops, too."""

        class Spending(Session):
            runs = 0

            def run(self, feeds: Feeds) -> list[Array]:
                raise NotImplementedError

            def set_feeds(self, feeds: Feeds) -> None:
                raise NotImplementedError

            def timed(self, loops: int) -> int:
                self.runs += loops
                time.sleep(1e-3)
                return 1_000_000

        class Counter:
            least_seconds = 0.0
            update_seconds = 0.0

            def read(self) -> tuple[int, ...]:
                return (session.runs,)

            def joules_between(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
                return float(after[0] - before[0])

        session = Spending()
        found = count_session(session, Counter(), 1e-3)
        assert found.joules == found.runs


class TestMemory:
    def test_the_peak_sees_an_allocation_that_is_gone(self):
        """In a process of its own: this one's peak is already higher."""
        found = _in_a_new_process(
            """
            import json
            import numpy as np
            from workers.meters import memory
            before = memory.resident()
            memory.reset_peak()
            np.ones(64 << 20, dtype=np.uint8)
            print(json.dumps([before, memory.resident(), memory.peak()]))
            """
        )
        before, after, peak = found
        assert peak - before == pytest.approx(64 << 20, rel=0.1)
        assert after - before < 16 << 20

    def test_a_new_peak_forgets_the_old_one(self):
        if not Path("/proc/self/clear_refs").exists():
            pytest.skip("this system cannot reset the peak")
        first, second = _in_a_new_process(
            """
            import json
            import numpy as np
            from workers.meters import memory
            np.ones(64 << 20, dtype=np.uint8)
            first = memory.peak()
            memory.reset_peak()
            print(json.dumps([first, memory.peak()]))
            """
        )
        assert first - second > 50 << 20


def _in_a_new_process(source: str) -> Iterator[int]:
    lines = [line.strip() for line in source.splitlines()]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return iter(json.loads(done.stdout))
