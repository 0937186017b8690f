"""Two tests of a step whose first night is known, each blind to other things than likelihood.

- The mean of clipped residuals after against before: asks how far, little of what the noise is.
- The same of normal scores: asks for ranks only, whatever the noise looks like.
"""

from __future__ import annotations

import numpy as np
import scipy  # its packages are loaded where they are used, which takes long

from tuner.nightly.screen.scores import clipped, noise, normal_scores, supported
from tuner.nightly.screen.series import FloatArray

SHORTEST_BEFORE = 20
"""Nights that must lie before a step."""


def mean_p(values: FloatArray, uncertainties: FloatArray, age: int) -> float:
    """Probability of a mean as high in the last ``age`` nights without a step."""
    before = len(values) - age
    return _p_value(supported(clipped(values, uncertainties, before), before), age)


def rank_p(values: FloatArray, age: int) -> float:
    """Probability of ranks as high in the last ``age`` nights without a step."""
    return _p_value(normal_scores(values, len(values) - age), age)


def step_t(scores: FloatArray, age: int) -> tuple[float, float]:
    """Student's t of a step before the last ``age`` nights, and its degrees of freedom.

    Generalised least squares under a first-order autoregression: the first night of a step
    brings all of it as news, each later one 1 - rho of it.
    """
    usual = noise(scores[: len(scores) - age])
    new = usual.innovations(scores[len(scores) - age - 1 :])
    shape = np.full(age, 1 - usual.correlation)
    shape[0] = 1.0
    square = float(shape @ shape)
    step = float(shape @ new) * usual.deviation / square
    # The level before is estimated, too, and its error is in every night after.
    carried = (1 - usual.correlation) * float(shape.sum()) / square
    variance = usual.deviation**2 / square + carried**2 * usual.mean_variance
    return step / variance**0.5, usual.freedom


def _p_value(scores: FloatArray, age: int) -> float:
    t, freedom = step_t(scores, age)
    return float(scipy.special.stdtr(freedom, -t))
