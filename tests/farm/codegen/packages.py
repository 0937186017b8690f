"""Small packages written by hand, in the form that the generator writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from farm.codegen.emit import runner_header

MODEL_H = """
#ifndef MODEL_H
#define MODEL_H
#define MODEL_MEMORY_BYTES 1152u
#define MODEL_INPUTS 2
#define MODEL_OUTPUTS 2
#define MODEL_INPUT_BYTES { 1024u, 1024u }
#define MODEL_OUTPUT_BYTES { 1024u, 4u }
void model_call(void *memory, const void *const *inputs, void *const *outputs);
#endif
"""
MODEL_C = """
#include <stdint.h>
#include <string.h>

#include "kernels/scale.h"
#include "model.h"

extern const float weights[256];

/* a + b * weights, and the sum of the results. */
void model_call(void *memory, const void *const *inputs, void *const *outputs) {
    float *result = memory;
    const float *a = inputs[0], *b = inputs[1];
    float total = 0.0f;
    memcpy(result, a, 1024);
    for (int i = 0; i < 256; i++) {
        result[i] += scale(b[i], weights[i]);
        total += result[i];
    }
    %(extra)s
    memcpy(outputs[0], result, 1024);
    memcpy(outputs[1], &total, 4);
}
"""
SCALE_H = "static inline float scale(float value, float factor) { return value * factor; }\n"
WEIGHTS = np.random.default_rng(7).standard_normal(256).astype(np.float32)


def write_package(folder: Path, extra: str = "", before: str = "") -> Path:
    """A package that adds two arrays, the second one weighted.

    extra: statements of C at the end of the model. before: declarations in front of it.
    """
    (folder / "kernels").mkdir(parents=True)
    (folder / "kernels" / "scale.h").write_text(SCALE_H)
    (folder / "runtime").mkdir()
    (folder / "runtime" / "package.h").write_text(runner_header("model"))
    (folder / "model.h").write_text(MODEL_H)
    (folder / "model.c").write_text(before + MODEL_C % {"extra": extra})
    values = ", ".join(f"{float(value).hex()}f" for value in WEIGHTS)
    (folder / "weights.c").write_text(
        f"extern const float weights[256];\nconst float weights[256] = {{ {values} }};\n"
    )
    return folder


def expected(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """What the package computes, with one rounding per operation and in its order."""
    result = a + b * WEIGHTS
    total = np.float32(0.0)
    for value in result:
        total = np.float32(total + value)
    return result, total
