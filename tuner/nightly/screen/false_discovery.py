"""Many series in one night: how many of those that look changed may be chance."""

from __future__ import annotations

import numpy as np

from tuner.nightly.screen.series import FloatArray


def adjusted(p_values: FloatArray) -> FloatArray:
    """The smallest rate of false discoveries at which each of ``p_values`` [n] is one, [n].

    Benjamini and Hochberg 1995: min over j >= i of n p_(j) / j. It holds for independent series
    and for positively dependent ones (Benjamini and Yekutieli 2001), such as series of one
    machine. Raises ValueError when a value is no probability.
    """
    if not np.all((p_values >= 0) & (p_values <= 1)):
        raise ValueError("p values must lie between 0 and 1")
    n = len(p_values)
    order = np.argsort(p_values)[::-1]
    steps = p_values[order] * n / np.arange(n, 0, -1)
    rates = np.empty(n)
    rates[order] = np.minimum.accumulate(np.minimum(steps, 1.0))
    return rates
