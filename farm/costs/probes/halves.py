"""A model of two equal halves: what a border takes in place, between kernels that both do.

Alone, an engine finds its weights in the cache and its threads awake. After another one it does
not; and what it would have fused or kept in a layout of its own across the border, it does not
either. Where A and B take a and b for a half, A then B take (2a + 2b) / 2 and the border.
"""

from __future__ import annotations

from onnx import ModelProto

from farm.costs.probes.builder import Probe

_CHANNELS, _SIZE, _LAYERS = 16, 32, 3


def halves_model() -> ModelProto:
    """As many operators in each half, of the same kinds and shapes; one tensor between them."""
    probe = Probe("two halves")
    tensor = probe.given(1, _CHANNELS, _SIZE, _SIZE)
    for _ in range(2 * _LAYERS):
        weights = probe.weight(_CHANNELS, _CHANNELS, 3, 3)
        tensor = probe.add("Relu", probe.add("Conv", tensor, weights, pads=[1, 1, 1, 1]))
    probe.end(tensor)
    return probe.model()
