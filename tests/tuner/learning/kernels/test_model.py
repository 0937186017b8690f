"""What is learnt of kernels on top of a roofline."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from farm.prediction import Basis
from tests.farm.costs.values import chain
from tests.tuner.learning.kernels.values import CACHES, convolution, law, law_rows, row
from tuner.learning.kernels.fitting import fit_kernels
from tuner.learning.kernels.forest import Forest
from tuner.learning.kernels.model import Kernel, KernelModel

FEW, MANY = (6, 20), (10, 60)


def asked(read: int, written: int, side: int) -> Kernel:
    return Kernel((convolution(read, written, side),), "onnxruntime-cpu", 1e6)


@pytest.mark.parametrize("size", [FEW, MANY])
def test_a_law_that_no_roofline_has_is_learnt(size: tuple[int, int]) -> None:
    model = fit_kernels(law_rows(*size), CACHES)
    assert model is not None
    assert model.quality.is_better
    assert model.quality.error < 0.7 * model.quality.roofline_error
    kernel = asked(24, 40, 16)
    (found,) = model.predict([kernel])
    assert found.value == pytest.approx(law(kernel.operators[0]), rel=0.3)
    assert found.low < law(kernel.operators[0]) < found.high
    assert found.basis is Basis.LEARNED
    assert found.rows == math.prod(size)


@pytest.mark.parametrize("size", [FEW, MANY])
def test_what_is_kept_says_the_same(size: tuple[int, int]) -> None:
    model = fit_kernels(law_rows(*size), CACHES)
    assert model is not None
    again = KernelModel.of_state(*model.state())
    kernels = [asked(8, 8, 8), asked(100, 17, 20)]
    assert again.predict(kernels) == model.predict(kernels)
    assert again.quality == model.quality


def test_intervals_cover_kernels_of_other_models() -> None:
    model = fit_kernels(law_rows(10, 60), CACHES)
    assert model is not None
    others = law_rows(5, 40, seed=1)
    found = model.predict([Kernel(r.operators, r.setting.options, r.around) for r in others])
    inside = [p.low <= r.seconds <= p.high for p, r in zip(found, others, strict=True)]
    assert np.mean(inside) >= 0.85
    assert 0.85 <= model.quality.coverage.share <= 1.0


def test_patterns_are_those_of_several_models_and_with_a_normalisation() -> None:
    activated = chain("Conv", "Relu")
    rows = law_rows(6, 20)
    rows += [replace(rows[at], operators=activated, model=f"m{at}") for at in range(2)]
    rows.append(replace(rows[0], operators=chain("Conv", "Tanh"), model="m0"))
    model = fit_kernels(rows, CACHES)
    assert model is not None
    assert model.patterns == {
        "onnxruntime-cpu": (
            ("Conv", "BatchNormalization"),
            ("Conv", "BatchNormalization", "Relu"),
            ("Conv", "Relu"),
        )
    }


def test_where_nothing_but_noise_is_left_the_roofline_stays() -> None:
    random = np.random.default_rng(3)
    rows = []
    for each in law_rows(8, 10, noise=0.0):
        op = convolution(16, 16, int(random.integers(4, 60)))
        rows.append(row(each.model, op, law(op) * math.exp(0.5 * random.standard_normal())))
    model = fit_kernels(rows, CACHES)
    assert model is not None
    assert model.quality.error > 0.8 * model.quality.roofline_error


@pytest.mark.parametrize("size", [(4, 50), (6, 3)])
def test_too_few_teach_nothing(size: tuple[int, int]) -> None:
    assert fit_kernels(law_rows(*size), CACHES) is None


def test_a_forest_of_many_rows_sees_a_share_of_them_in_each_tree() -> None:
    random = np.random.default_rng(0)
    inputs = random.standard_normal((9000, 3))
    forest = Forest.fit(inputs, inputs[:, 0], trees=4)
    middle, spread = forest.predict(inputs[:50])
    assert np.corrcoef(middle, inputs[:50, 0])[0, 1] > 0.95
    assert spread.shape == (50,)
    assert len(forest.feature) < 4 * 2 * 4096
