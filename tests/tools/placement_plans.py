"""A placement plan as tests of what is done with one need it: made up, not planned."""

from __future__ import annotations

from farm.candidate import CPackageEmulated, OnnxRuntimeCpu
from farm.plan.placement.record import (
    Baselines,
    PlacedWhole,
    PlacementPlan,
    PlannedBorder,
    PlannedModel,
    PlannedPart,
    PlannedStep,
    PlannedTransfer,
)
from farm.prediction import Basis, Prediction

CPU, DSP = "cpu/onnxruntime-cpu", "dsp/cpackage-emulated"


def seconds(value: float, rows: int = 3) -> Prediction:
    """A prediction that may be a tenth off."""
    return Prediction(value, 0.9 * value, 1.1 * value, "s", Basis.MEASURED, rows)


def split_plan(
    sha256: str = "f" * 64, operators: tuple[str, ...] = ("a", "b", "c")
) -> PlacementPlan:
    """The first operators on the dsp, the last one on the cpu; each takes 1 ms and 1 mJ there.

    The cpu takes 2 ms and 4 mJ for what is on the dsp; the dsp cannot run the last one.
    """
    *on_dsp, last = operators
    both = {DSP: 1e-3, CPU: 2e-3}
    steps = [PlannedStep(name, DSP, both, {DSP: 1e-3, CPU: 4e-3}, 1024) for name in on_dsp]
    steps.append(PlannedStep(last, CPU, {CPU: 1e-3}, {CPU: 1e-3}, 2048))
    border = 1e-4
    return PlacementPlan(
        model=PlannedModel("model", sha256, {}),
        places=(CPU, DSP),
        objective="latency",
        predicted=seconds(1e-3 * len(operators) + border),
        bound=1e-3 * len(operators),
        gap=border / (1e-3 * len(operators)),
        seconds=0.01,
        parts=(
            PlannedPart(DSP, tuple(on_dsp), seconds(1e-3 * len(on_dsp))),
            PlannedPart(CPU, (last,), seconds(1e-3)),
        ),
        transfers=(PlannedTransfer(DSP, CPU, "border", 2048, seconds(border)),),
        best_single=PlacedWhole(CPU, seconds(2e-3 * len(on_dsp) + 1e-3)),
        baselines=Baselines(chain=1e-3 * len(operators) + border, greedy=None, heft=5e-3),
        refused=None,
        steps=tuple(steps),
        borders=(
            PlannedBorder(DSP, CPU, border, 0.0),
            PlannedBorder(CPU, DSP, border, 0.0),
        ),
        engines={CPU: OnnxRuntimeCpu(threads=1), DSP: CPackageEmulated(target="hexagon-v67")},
    )
