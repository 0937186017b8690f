"""A request of OpenVINO whose inputs and outputs are in the memory of a GPU.

Written against OpenVINO's documentation ("Remote Tensor API of GPU Plugin") and source: there a
request ends when the GPU has computed all outputs, wherever they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov

from workers.engines.session import Array, EngineError

_TOLERANCE = 1e-3  # of an output's largest value: the same kernels may add in another order


class OnGpu:
    """Runs of one input.

    Raises EngineError, and what OpenVINO raises: its tensors cannot be there.
    """

    def __init__(
        self, compiled: ov.CompiledModel, context: ov.RemoteContext, tensors: Sequence[ov.Tensor]
    ) -> None:
        self._request = compiled.create_infer_request()
        for port, tensor in zip(compiled.inputs, tensors, strict=True):
            self._put(context, port, tensor.shape).copy_from(tensor)
        for port in compiled.outputs:
            if port.get_partial_shape().is_dynamic:
                raise EngineError(f"the size of output {port.get_any_name()} varies.")
        self._outputs = [(port, self._put(context, port, port.shape)) for port in compiled.outputs]

    def infer(self) -> None:
        """Run once. Python's ``infer`` would read all outputs, which cannot be done there."""
        self._request.start_async()
        self._request.wait()

    def check(self, wanted: Sequence[Array]) -> None:
        """Run once. Raises EngineError: what is computed is not what is wanted."""
        self.infer()
        for (port, tensor), expected in zip(self._outputs, wanted, strict=True):
            found = ov.Tensor(port.get_element_type(), port.shape)
            tensor.copy_to(found)
            if not _are_alike(np.array(found.data), expected):
                raise EngineError(f"output {port.get_any_name()} is another one there.")

    def _put(
        self, context: ov.RemoteContext, port: ov.ConstOutput, shape: ov.Shape
    ) -> ov.RemoteTensor:
        tensor = context.create_tensor(port.get_element_type(), shape, {})
        self._request.set_tensor(port.get_any_name(), tensor)
        return tensor


def _are_alike(found: Array, wanted: Array) -> bool:
    if found.shape != wanted.shape:
        return False
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    return np.allclose(found, wanted, rtol=0.0, atol=_TOLERANCE * largest, equal_nan=True)
