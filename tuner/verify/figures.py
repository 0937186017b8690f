"""Compares what a package's manifest says with what its headers say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from farm.codegen.emit import macro_names, parameter_names
from farm.codegen.package.manifest import Manifest, Port

_ELEMENT_BYTES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "int32_t": 4, "uint32_t": 4, "float": 4}
_ELEMENT_BYTES |= {"int64_t": 8}


def wrong_sizes(sources: Path, manifest: Manifest) -> Iterator[str]:
    """Sizes in the manifest that are not what the headers say."""
    prefix = manifest.name.upper()
    size_of = rf"^#define {re.escape(prefix)}_(\w+)_BYTES (\d+)u"
    found = {name: int(size) for name, size in _matches(size_of, sources / "model.h")}
    told = {
        "ARENA": manifest.arena_bytes,
        "SCRATCH": manifest.scratch_bytes,
        "MEMORY": manifest.memory_bytes,
    }
    if not told.keys() <= found.keys():
        yield f"model.h has no sizes of a package that is called {manifest.name}"
        return
    for name, size in told.items():
        if found[name] != size:
            yield other(f"{name.lower()}_bytes", size, found[name])
    arrays = _matches(r"^extern const (\w+) \w+\[(\d+)\];", sources / "weights.h")
    weights = sum(_ELEMENT_BYTES.get(element, 0) * int(count) for element, count in arrays)
    if weights != manifest.weight_bytes:
        yield other("weight_bytes", manifest.weight_bytes, weights)
    if manifest.packets is not None and not manifest.target.is_hexagon:
        yield f"the manifest says packets {manifest.packets}, which {manifest.target} has not"


def wrong_scales(sources: Path, manifest: Manifest) -> Iterator[str]:
    """Scales and zero points in the manifest that are not those of the header."""
    prefix = re.escape(manifest.name.upper())
    value = rf"^#define {prefix}_(\w+_(?:SCALE|ZERO_POINT)) \(?([^\s)]+)"
    found = dict(_matches(value, sources / "model.h"))
    for kind, ports in (("input", manifest.inputs), ("output", manifest.outputs)):
        macros = macro_names(parameter_names(kind, [port.name for port in ports]))
        for macro, port in zip(macros, ports, strict=True):
            if port.scale is not None and found != found | _scale_macros(macro, port):
                yield f"the scale of {kind} {port.name!r} in the manifest is not that of model.h"


def other(name: str, told: int, found: int) -> str:
    """The sentence on a figure of the manifest that is not so."""
    return f"the manifest says {name} {told}, and it is {found}"


def _scale_macros(macro: str, port: Port) -> dict[str, str]:
    """What the header says of a port of bytes."""
    scale = float(np.float32(port.scale))
    return {f"{macro}_SCALE": f"{scale.hex()}f", f"{macro}_ZERO_POINT": str(port.zero_point)}


def _matches(pattern: str, header: Path) -> list[tuple[str, str]]:
    text = header.read_text(encoding="utf-8", errors="replace")
    found: list[tuple[str, str]] = re.findall(pattern, text, flags=re.MULTILINE)
    return found
