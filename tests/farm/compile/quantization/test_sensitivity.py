"""Which operators quantisation hurts most."""

import numpy as np
import pytest
from onnx.helper import make_node

from farm.artifact.compiler import Compiler
from farm.candidate import Candidate, DynamicInt8, Precision, StaticInt8
from farm.compile.quantization import sensitivity as module
from farm.compile.quantization.sensitivity import sensitivity
from tests import models
from tests.farm.compile import graphs


def ranking(model, quantization):
    samples = graphs.feeds(model)
    compiler = Compiler(model, samples)
    quantised = compiler.graph(Candidate(precision=Precision(quantization=quantization))).model
    names = [operator.name for operator in compiler.quantizable(quantization)]
    found = sensitivity(compiler.prepared().model, quantised, names, samples[:3])
    assert found.at_outputs is (module._MOST_BYTES_LOADED > 0)
    return dict(found.power)


@pytest.fixture(params=[1 << 29, 0], ids=["one by one", "side by side"])
def way(request, monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES_LOADED", request.param)


def fragile_net():
    """Three products in a row; a useless weight spoils the scale of the second one's."""
    stored = models.weights(w1=(32, 32), w2=(32, 32), w3=(32, 8))
    stored["w1"][:, 3] = 0.0
    stored["w2"][3, 3] = 100.0
    nodes = [
        make_node("MatMul", ["x", "w1"], ["a"], name="first"),
        make_node("MatMul", ["a", "w2"], ["b"], name="fragile"),
        make_node("MatMul", ["b", "w3"], ["y"], name="last"),
    ]
    return models.build(nodes, [models.value("x", [1, 32])], [models.value("y", [1, 8])], stored)


def test_every_quantised_operator_is_ranked(way):
    damage = ranking(graphs.residual_net(), StaticInt8())
    assert set(damage) == {"stem", "body", "head"}
    assert all(np.isfinite(list(damage.values())))
    assert all(value > 0 for value in damage.values())


def test_the_most_damaged_comes_first(way):
    damage = ranking(fragile_net(), StaticInt8(per_channel=False))
    assert list(damage.values()) == sorted(damage.values(), reverse=True)
    assert next(iter(damage)) == "fragile"


def test_operators_kept_in_float_are_not_ranked(way):
    damage = ranking(graphs.residual_net(), StaticInt8(keep_float=("stem",)))
    assert set(damage) == {"body", "head"}


def test_dynamic_int8_is_ranked_too(way):
    damage = ranking(graphs.residual_net(), DynamicInt8(convolutions=True))
    assert set(damage) == {"stem", "body", "head"}
    assert 0 < max(damage.values()) < 0.01


def test_one_operator_alone_does_all_the_damage():
    model = graphs.residual_net()
    choice = StaticInt8(keep_float=("body", "head", "join", "join_relu", "pool", "stem_relu"))
    samples = graphs.feeds(model)
    quantised = Compiler(model, samples).graph(Candidate(precision=Precision(quantization=choice)))
    [alone] = ranking(model, choice).values()
    exact = [graphs.run(model, sample) for sample in samples[:3]]
    noisy = [graphs.run(quantised.model, sample) for sample in samples[:3]]
    seen = np.mean([graphs.error(a, b) ** 2 for a, b in zip(exact, noisy, strict=True)])
    assert alone == pytest.approx(seen, rel=0.05)
