"""The energy model: E = P_static t + Σ macs e_mac + Σ bytes e_byte, by number format."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.candidate import Candidate, DynamicInt8, FloatType, Precision, StaticInt8, WeightOnlyInt4
from farm.devices.energy import Work, counted_energy, modelled_energy
from farm.devices.profile import PowerFigures, load_profiles
from farm.units import Bytes, Seconds

quick = settings(max_examples=60, deadline=None, derandomize=True)

POWER = PowerFigures(
    static_watts=10.0,
    joules_per_byte=1e-3,
    joules_per_mac={"float32": 8.0, "float16": 4.0, "bfloat16": 3.0, "int8": 1.0},
    source="round numbers",
)
WORK = Work(macs=100, weight_bytes=Bytes(8000), activation_bytes=Bytes(4000))


@pytest.mark.parametrize(
    ("precision", "joules"),
    [
        (Precision(), 20 + 800 + 8 + 4),
        (Precision(FloatType.FLOAT16), 20 + 400 + 4 + 2),
        (Precision(FloatType.BFLOAT16), 20 + 300 + 4 + 2),
        (Precision(quantization=StaticInt8()), 20 + 100 + 2 + 1),
        (Precision(quantization=DynamicInt8()), 20 + 100 + 2 + 4),
        (Precision(quantization=WeightOnlyInt4(accuracy_level=0)), 20 + 800 + 1 + 4),
        (Precision(quantization=WeightOnlyInt4(accuracy_level=4)), 20 + 100 + 1 + 4),
        (Precision(FloatType.FLOAT16, WeightOnlyInt4()), 20 + 400 + 1 + 2),
    ],
    ids=lambda value: value.label() if isinstance(value, Precision) else "",
)
def test_every_number_format(precision, joules):
    found = modelled_energy(POWER, WORK, Candidate(precision=precision), Seconds(2.0))
    assert found == pytest.approx(joules)


def test_arithmetic_without_a_figure_is_priced_as_float32():
    power = PowerFigures(0.0, 0.0, {"float32": 8.0}, "one figure")
    candidate = Candidate(precision=Precision(quantization=StaticInt8()))
    assert modelled_energy(power, WORK, candidate, Seconds(1.0)) == 800


def test_counted_packets_are_priced_one_by_one():
    power = PowerFigures(
        2.0, 9.0, {"int8": 9.0}, "", joules_per_packet=3.0, joules_per_vector_instruction=5.0
    )
    assert counted_energy(power, 10, 4, Seconds(0.5)) == 2.0 * 0.5 + 10 * 3.0 + 4 * 5.0


def test_a_profile_without_figures_has_static_energy_only():
    power = load_profiles()["fake"].power
    assert power is not None
    assert modelled_energy(power, WORK, Candidate(), Seconds(3.0)) == 3.0


@quick
@given(seconds=st.floats(1e-6, 1.0), macs=st.integers(0, 10**12))
def test_more_time_and_more_work_never_cost_less(seconds, macs):
    power = load_profiles()["cpu"].power
    assert power is not None
    work = Work(macs, WORK.weight_bytes, WORK.activation_bytes)
    more = Work(macs + 10**6, WORK.weight_bytes, WORK.activation_bytes)
    base = modelled_energy(power, work, Candidate(), Seconds(seconds))
    assert base > power.static_watts * seconds
    assert modelled_energy(power, more, Candidate(), Seconds(seconds)) >= base
    assert modelled_energy(power, work, Candidate(), Seconds(2 * seconds)) > base
