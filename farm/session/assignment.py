"""Which provider of one session runs an operator, by the operator's label.

ONNX Runtime reads the metadata property ``layer_ann`` of a node where a session has
``session.layer_assignment_settings``, for example ``cpu(=one,=two);gpu(=three)``. Without the
equals sign a label stands for all that begin with it, so that it is always given. It is a
preference: what was really assigned is checked afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from farm.errors import CompileError

SETTINGS = "session.layer_assignment_settings"
"""The session's option that says on which device each label runs."""

ON_CPU, ON_GPU = "cpu", "gpu"
"""Labels where a session has two providers."""

_MOST_CHARACTERS = 8192  # of a value of a session's option


def assignment_settings(devices: Mapping[str, Iterable[str]]) -> str:
    """The value of ``SETTINGS``: labels by the designator of a device, or a provider's name.

    Raises CompileError: it is longer than ONNX Runtime takes.
    """
    rules = (f"{name}({','.join(f'={each}' for each in own)})" for name, own in devices.items())
    text = ";".join(rules)
    if len(text) > _MOST_CHARACTERS:
        raise CompileError(
            f"The assignment of operators has {len(text)} characters, and ONNX Runtime takes "
            f"{_MOST_CHARACTERS}: use fewer labels."
        )
    return text
