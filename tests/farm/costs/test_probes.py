"""The kernels that devices are calibrated with."""

from __future__ import annotations

import pytest
from onnx import save_model

from farm.costs.families import Family
from farm.costs.operators import costed_operators
from farm.costs.probes.borders import MANY, Border, border_models
from farm.costs.probes.kernels import ProbeModel, probe_models
from farm.costs.work import kernel_work
from farm.model.graph import build_graph
from farm.model.model import load_model

PROBES = probe_models()


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory):
    """The work of every operator of every probe."""
    found = []
    for probe in PROBES:
        path = tmp_path_factory.mktemp("probe") / "probe.onnx"
        save_model(probe.model, path)
        model = load_model(path)
        operators = costed_operators(model.proto, build_graph(model))
        assert all(op.complete for op in operators), probe.name
        found += [kernel_work([op], "float32") for op in operators]
    return found


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
