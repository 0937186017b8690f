"""Whether what the farm says to a refused model is a sentence for people."""

from __future__ import annotations

import re

_LONGEST = 500
_OWN_FAULT = "this is a fault of"
_LEAKS = re.compile(
    r"(std|common|onnxruntime|onnx|google)::|\w\.(cc|cpp|h|hpp)\b|Traceback|\bvirtual\b"
    r"|/onnxruntime|[Aa]ssert|Status|0x[0-9a-f]{4,}|\b\w*(Error|Exception)\b|<class|object at"
    r"|Numpy_type|MLDataType|NoneType|unk__\d|[Ff]ield '|\bproto\b|input arrays must"
    r"|out of bounds|truth value of|broadcast together"
)
"""What C++, Python, numpy or protobuf say when they are not meant to be read."""


def unclean(message: str, *, is_dynamic: bool) -> str:
    """What is wrong with a message, "" where nothing is.

    is_dynamic: whether the model has dimensions that ``--shape`` could fix.
    """
    if not message.strip():
        return "it is empty"
    if not message.isprintable():
        return "it has characters that cannot be printed"
    if len(message) > _LONGEST:
        return f"it has {len(message)} characters"
    if _OWN_FAULT in message:
        return "it blames the code generator"
    if leak := _LEAKS.search(message):
        return f"it leaks {leak.group()!r} of some tool"
    if not message.endswith((".", "?", "!")):
        return "it does not end like a sentence"
    if "--shape" in message and not is_dynamic:
        return "it advises --shape, and no dimension is dynamic"
    return ""
