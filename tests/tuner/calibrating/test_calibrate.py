"""Calibrating: what is known beforehand is found, and stored as a whole or not at all."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import islice

import pytest

from db.questions.operators.costs import newest_calibrations
from db.store import Store
from farm.candidate import CPackage, CPackageEmulated
from farm.costs.calibration import CostPlace, calibration_of
from farm.costs.families import Family
from farm.costs.probes.networks import networks
from farm.costs.probes.rows import row_models
from farm.costs.roofline import cache_limits
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import DeviceError
from farm.measurement import Method
from farm.profile.kernels import OperatorProfile
from tests.db.samples import MACHINE
from tests.tuner.calibrating.timed import (
    BANDWIDTH,
    BORDER,
    FEW,
    LAUNCH,
    OVERHEAD,
    PEAK,
    PER_BYTE,
    TimedExecutor,
)
from tuner.calibrating.calibrate import Calibrated, calibrate
from tuner.calibrating.measure import least
from tuner.calibrating.places import places_of
from tuner.events import Event, StageStarted
from tuner.learning.kernels.rows import rows_of
from tuner.learning.kernels.stored import newest_kernels
from tuner.runs.clock import Budget
from workers.jobs import DeviceFacts

CPU, DSP = load_profiles()["cpu"], load_profiles()["dsp"]


@pytest.fixture
def store() -> Store:
    return Store.open(":memory:")


def run(
    store: Store,
    executor: TimedExecutor,
    profile: DeviceProfile = CPU,
    seconds: float = 1e3,
    events: list[Event] | None = None,
) -> Calibrated:
    listen = (events if events is not None else []).append
    return calibrate(store, executor, profile, seconds, listen, FEW)  # type: ignore[arg-type]


def test_the_constants_of_every_engine_in_every_precision_are_found(store: Store) -> None:
    done = run(store, TimedExecutor())
    assert [(p.engine, p.precision) for p in done.calibration.places] == [
        ("onnxruntime-cpu", "float32"),
        ("openvino-runtime", "float32"),
        ("onnxruntime-cpu", "int8"),
        ("openvino-runtime", "int8"),
    ]
    for place in done.calibration.places:
        wave = place.roofline.roofs[Family.CONVOLUTION]
        assert wave.peak == pytest.approx(PEAK, rel=0.05)
        assert wave.overhead == pytest.approx(OVERHEAD, rel=0.05)
        assert place.roofline.levels[-1].bytes_per_second == pytest.approx(BANDWIDTH, rel=0.05)
        assert place.method is Method.MEASURED
        assert ("Conv", "Relu") in place.patterns


def test_a_device_in_software_says_so(store: Store) -> None:
    software = replace(CPU, is_software=True)
    assert run(store, TimedExecutor(), software).notes[0] == software.caveat


def test_borders_are_what_is_left_of_a_call(store: Store) -> None:
    done = run(store, TimedExecutor())
    for ends in done.calibration.ends:
        assert ends.launch == pytest.approx(LAUNCH, rel=0.05)
        assert ends.take_per_byte == pytest.approx(0.0, abs=1e-15)


def test_borders_in_place_are_fitted_to_rows_of_parts(store: Store) -> None:
    done = run(store, TimedExecutor()).calibration
    assert {(each.source, each.target) for each in done.crossings} == {
        ("onnxruntime-cpu", "openvino-runtime"),
        ("openvino-runtime", "onnxruntime-cpu"),
    }
    for each in done.crossings:
        assert each.seconds == pytest.approx(BORDER, rel=0.2)
        given = done.ends_of(CostPlace("cpu", each.source))
        assert given is not None
        assert each.take_per_byte + given.give_per_byte == pytest.approx(PER_BYTE, rel=0.2)


def test_calibrations_are_told_apart_by_threads(store: Store) -> None:
    listen, executor = ([]).append, TimedExecutor()
    one = calibrate(store, executor, CPU, 0.0, listen, FEW, threads=1)  # type: ignore[arg-type]
    default = run(store, TimedExecutor())
    assert newest_calibrations(store, ["cpu"], MACHINE.id, 1) == {"cpu": one.record}
    assert newest_calibrations(store, ["cpu"], MACHINE.id) == {"cpu": default.record}
    assert newest_calibrations(store, ["cpu"], MACHINE.id, 2) == {}
    assert [place.options for place in one.calibration.places][:2] == [
        "onnxruntime-cpu 1 thread",
        "openvino-runtime 1 thread",
    ]


def test_it_is_stored_and_read_again(store: Store) -> None:
    done = run(store, TimedExecutor())
    (found,) = newest_calibrations(store, ["cpu"], done.record.machine_id).values()
    assert found == done.record
    assert calibration_of("cpu", found.constants, found.borders) == done.calibration
    assert store.machine(found.machine_id).hostname == "bench-1"


def test_the_newest_one_of_a_machine_counts(store: Store) -> None:
    first, second = run(store, TimedExecutor()), run(store, TimedExecutor())
    assert first.record.machine_id == MACHINE.id
    found = newest_calibrations(store, ["cpu", "dsp"], MACHINE.id)
    assert found == {"cpu": second.record}
    assert newest_calibrations(store, ["cpu"], "another machine") == {}


def test_an_interrupted_one_leaves_nothing(store: Store) -> None:
    executor = TimedExecutor(interrupt_at=9)
    with pytest.raises(KeyboardInterrupt):
        run(store, executor)
    assert newest_calibrations(store, ["cpu"], MACHINE.id) == {}


def test_an_engine_that_does_not_run_is_left_out_and_said(store: Store) -> None:
    done = run(store, TimedExecutor(broken=frozenset({"openvino-runtime"})))
    assert {place.engine for place in done.calibration.places} == {"onnxruntime-cpu"}
    assert "A border cannot be measured: it does not start." in done.notes
    assert (
        "cpu/openvino-runtime in float32 cannot run small kernels: it does not start."
        in done.notes
    )
    missing = "cpu/openvino-runtime in float32 has no constants: too few kernels were measured."
    assert missing in done.notes
    assert json.loads(done.record.details)["notes"] == list(done.notes)


def test_without_any_engine_that_runs_nothing_is_stored(store: Store) -> None:
    broken = frozenset({"onnxruntime-cpu", "openvino-runtime"})
    with pytest.raises(DeviceError, match=r"could not be calibrated in \d+ s: .*does not start"):
        run(store, TimedExecutor(broken=broken))


def test_what_there_is_no_time_for_is_said_once(store: Store) -> None:
    done = run(store, TimedExecutor(), seconds=0.0)
    assert done.notes[0] == "There was no time for all kernels: give a longer --budget."
    assert sum("no time" in note for note in done.notes) == 1
    assert len(done.calibration.places) == 4


def test_what_takes_longer_than_was_asked_for_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.calibrating.calibrate.Budget", lambda total: Budget(total, 54.0))
    done = run(store, TimedExecutor(), seconds=5.0)
    assert re.fullmatch(
        r"It took \d+ s where 5 s were asked for: borders and small kernels are measured however "
        r"short the time is, and what began in time goes on to its end\.",
        done.notes[-1],
    )


def test_packets_of_an_emulated_device_become_seconds(store: Store) -> None:
    engine = CPackageEmulated(target="hexagon-v67-hvx")
    executor = TimedExecutor(("cpackage-emulated",), (engine,))
    done = run(store, executor, DSP)
    assert executor.profiles == 4, "what is counted is not counted again"
    (real, integer) = done.calibration.places
    assert (real.precision, integer.precision) == ("float32", "int8")
    assert real.method is Method.MODELLED
    assert real.roofline.roofs[Family.CONVOLUTION].peak == pytest.approx(PEAK, rel=0.05)
    assert len(real.roofline.levels) == 1
    assert {ends.method for ends in done.calibration.ends} == {Method.MODELLED}
    assert done.calibration.ends[0].launch == 3e-4


def test_a_device_without_links_has_no_borders_and_says_so(store: Store) -> None:
    engine = CPackageEmulated(target="hexagon-v67-hvx")
    executor = TimedExecutor(("cpackage-emulated",), (engine,))
    done = run(store, executor, replace(DSP, links={}))
    assert done.calibration.ends == ()
    assert any("the profile of dsp has no [links.caller]" in note for note in done.notes)


def test_progress_is_told_and_children_are_released(store: Store) -> None:
    events: list[Event] = []
    executor = TimedExecutor()
    run(store, executor, events=events)
    stages = [event.stage for event in events if isinstance(event, StageStarted)]
    rows = 2 * [row.name for row in row_models(2)]
    assert stages[: 3 + len(rows)] == [
        "borders",
        *rows,
        "small kernels, cpu/onnxruntime-cpu in float32",
        "small kernels, cpu/openvino-runtime in float32",
    ]
    assert len(executor.released) == 8 + len(rows)


def test_while_there_is_time_all_is_done_again_and_the_least_counts(store: Store) -> None:
    executor = TimedExecutor()
    run(store, executor)
    borders, probes = 8 + 2 * 2 * len(row_models(2)), 8
    assert executor.profiles == borders + 2 * probes
    slow, fast = (
        OperatorProfile("k", "Conv", ("c",), "float32", seconds, None, Method.MEASURED)
        for seconds in (2.0, 1.0)
    )
    assert least([slow], [fast]) == least([fast], [slow]) == least([], [fast]) == (fast,)


@pytest.mark.parametrize("engines", [(), ("fake",), ("openvino",)])
def test_a_device_whose_engines_tell_nothing(engines: tuple[str, ...], store: Store) -> None:
    with pytest.raises(DeviceError, match="Device cpu cannot be calibrated: none of its engines"):
        run(store, TimedExecutor(engines))


def test_a_place_has_one_engine_of_each_kind() -> None:
    facts = TimedExecutor(
        ("onnxruntime-cpu", "openvino", "cpackage"),
        (CPackage(target="avx2"), CPackage(target="portable")),
    ).describe("cpu")
    assert isinstance(facts, DeviceFacts)
    places = places_of("cpu", facts)
    assert [each.place for each in places if each.place.precision == "float32"] == [
        CostPlace("cpu", "onnxruntime-cpu"),
        CostPlace("cpu", "cpackage"),
    ]
    assert [each.options for each in places][:2] == ["onnxruntime-cpu", "cpackage avx2 zig"]


def test_a_gpu_has_places_in_floats_alone() -> None:
    facts = TimedExecutor(("onnxruntime-webgpu",)).describe("gpu-software")
    assert isinstance(facts, DeviceFacts)
    (only,) = places_of("gpu-software", facts)
    assert only.place == CostPlace("gpu-software", "onnxruntime-webgpu")


@pytest.mark.parametrize(("device", "levels"), [("gpu-vulkan", 1), ("gpu-software", 3)])
def test_the_caches_of_the_processor_are_no_gpus(store: Store, device: str, levels: int) -> None:
    """A program that pretends to be one runs on the processor, and in its caches."""
    executor = TimedExecutor(("onnxruntime-webgpu",))
    (place,) = run(store, executor, load_profiles()[device]).calibration.places
    assert len(place.roofline.levels) == levels


@pytest.mark.parametrize(
    ("caches", "limits"),
    [
        ("L1d 32K, L1i 32K, L2 1024K, L3 32768K", (32768.0, 1048576.0, 33554432.0)),
        ("L1d 48K, L2 2M", (49152.0, 2097152.0)),
        ("", (32768.0, 1048576.0, 33554432.0)),
    ],
)
def test_sizes_of_caches(caches: str, limits: tuple[float, ...]) -> None:
    assert cache_limits(caches) == limits


def test_what_kernels_of_networks_take_is_learnt(store: Store) -> None:
    few = replace(FEW, networks=lambda: islice(networks(), 3, 9))
    executor = TimedExecutor()
    done = calibrate(store, executor, CPU, 1e3, lambda _: None, few)  # type: ignore[arg-type]
    kernels = rows_of("cpu", done.record.details)
    assert len({each.model for each in kernels}) == 6
    assert {each.setting.precision for each in kernels} == {"float32", "int8"}
    learned = newest_kernels(store, "cpu", done.record.machine_id)
    assert learned is not None
    assert {engine for engine, _ in learned.models} == {"onnxruntime-cpu", "openvino-runtime"}


def test_networks_are_left_out_where_there_is_no_time(store: Store) -> None:
    few = replace(FEW, networks=networks)
    executor = TimedExecutor()
    done = calibrate(store, executor, CPU, 0.0, lambda _: None, few)  # type: ignore[arg-type]
    assert rows_of("cpu", done.record.details) == ()
