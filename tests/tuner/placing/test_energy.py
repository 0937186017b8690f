"""Problems in joules: static power for as long as it takes, and what the work takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from db.store import Store
from farm.candidate import CPackageEmulated
from farm.devices.profile import load_profiles
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.placement.problem import PlacementObjective
from tests.db.samples import MACHINE
from tests.models import conv_net, save
from tests.tuner.calibrating.timed import FEW, TimedExecutor
from tuner.calibrating.calibrate import calibrate
from tuner.placing.energy import in_joules
from tuner.placing.from_store import problem_from_store

CPU, DSP = load_profiles()["cpu"], load_profiles()["dsp"]
ORT, EMULATED = "cpu/onnxruntime-cpu", "dsp/cpackage-emulated"


def test_seconds_become_joules_by_the_power_figures_of_each_place(tmp_path: Path) -> None:
    save(conv_net(), tmp_path)
    model = load_model(tmp_path / "model.onnx")
    graph = build_graph(model)
    packages = (CPackageEmulated(target="hexagon-v67-hvx"),)
    with Store.open(":memory:") as store:
        for profile, executor in (
            (CPU, TimedExecutor(("onnxruntime-cpu",))),
            (DSP, TimedExecutor(("cpackage-emulated",), packages)),
        ):
            calibrate(store, executor, profile, 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
        seconds, places = problem_from_store(store, model, graph, [CPU, DSP], MACHINE.id)
    joules = in_joules(seconds, graph, places)
    assert joules is not None
    assert joules.problem.objective is PlacementObjective.ENERGY
    assert CPU.power is not None
    assert DSP.power is not None
    assert DSP.package is not None
    op = next(op for op in graph.operators if op.macs)
    traffic = op.weight_bytes + op.activation_bytes
    work = op.macs * CPU.power.joules_per_mac["float32"] + traffic * CPU.power.joules_per_byte
    static = CPU.power.static_watts * seconds.costs[op.name, ORT].value
    assert joules.costs[op.name, ORT].value == pytest.approx(static + work)
    assert joules.costs[op.name, ORT].unit == "J"
    lasts = seconds.costs[op.name, EMULATED].value
    packets = lasts * DSP.package.clock_hz / DSP.package.cycles_per_packet
    counted = DSP.power.static_watts * lasts + packets * DSP.power.joules_per_packet
    assert joules.costs[op.name, EMULATED].value == pytest.approx(counted)
    dark = [replace(each, profile=replace(each.profile, power=None)) for each in places]
    assert in_joules(seconds, graph, dark) is None
