"""The kernels that devices are calibrated with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import save_model

from farm.costs.families import Family
from farm.costs.operators import CostedOperator, costed_operators
from farm.costs.probes.borders import MANY, Border, border_models
from farm.costs.probes.kernels import ProbeModel, probe_models
from farm.costs.probes.networks import networks
from farm.costs.probes.seldom import seldom_models
from farm.costs.work import kernel_work
from farm.model.graph import build_graph
from farm.model.model import load_model

PROBES = probe_models()


def operators_of(probe: ProbeModel, folder: Path) -> tuple[CostedOperator, ...]:
    save_model(probe.model, folder / "probe.onnx")
    model = load_model(folder / "probe.onnx")
    operators = costed_operators(model.proto, build_graph(model))
    assert all(op.complete for op in operators), probe.name
    return operators


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory):
    """The work of every operator of every probe."""
    folder = tmp_path_factory.mktemp("probe")
    return [kernel_work([op], "float32") for probe in PROBES for op in operators_of(probe, folder)]


def test_about_as_many_as_a_calibration_has_time_for(works) -> None:
    assert 200 <= len(works) <= 280


def test_every_family_that_networks_are_made_of_is_there(works) -> None:
    counts = {family: sum(w.family is family for w in works) for family in Family}
    engines_own = {Family.CONVERSION, Family.REORDER}  # they insert them
    rare = [f for f in Family if counts[f] < 3 and f not in {*engines_own, Family.OTHER}]
    assert rare == []


def test_tensors_fit_into_every_level_of_memory_and_into_none(works) -> None:
    moved = sorted(work.traffic for work in works if work.family is Family.ELEMENTWISE)
    for limit in (32 << 10, 1 << 20, 32 << 20):
        assert any(traffic <= limit for traffic in moved)
        assert any(traffic > limit for traffic in moved)


def test_the_same_models_every_time() -> None:
    again = probe_models()
    assert [p.model.SerializeToString() for p in again] == [
        p.model.SerializeToString() for p in PROBES
    ]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_probe_is_small_unless_it_says_so(probe: ProbeModel) -> None:
    assert probe.weighs or probe.model.ByteSize() < 2 << 20


def test_border_models_take_and_give_what_they_are_called_by() -> None:
    made = border_models()
    assert set(made) == set(Border)
    counts = {border: (len(m.graph.input), len(m.graph.output)) for border, m in made.items()}
    assert counts == {
        Border.ONE: (1, 1),
        Border.MANY: (MANY, MANY),
        Border.TAKEN: (1, 1),
        Border.BOTH: (1, 1),
    }


def test_what_networks_seldom_have_is_there_early(tmp_path: Path) -> None:
    names = [each.name for _, each in zip(range(6), networks(), strict=False)]
    assert {each.name for each in seldom_models()} <= set(names)
    types = {op.op_type for each in seldom_models() for op in operators_of(each, tmp_path)}
    assert {"LRN", "Exp", "Erf", "Pow", "HardSwish", "LSTM", "GRU", "Slice", "Sum"} <= types


def test_seldom_layers_run_and_are_finite() -> None:
    for probe in seldom_models():
        session = ort.InferenceSession(probe.model.SerializeToString())
        random = np.random.default_rng(0)
        feeds = {
            each.name: random.standard_normal(each.shape, np.float32)
            for each in session.get_inputs()
        }
        assert all(np.isfinite(found).all() for found in session.run(None, feeds)), probe.name
        assert probe.weighs or probe.model.ByteSize() < 2 << 20
