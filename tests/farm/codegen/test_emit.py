"""What generated files look like, and what their names may be.

``golden/`` holds the files of one small model. After a change that is meant to alter them:
``FARM_WRITE_GOLDEN=1 pytest tests/farm/codegen/test_emit.py`` writes them anew, to be read in the
diff.
"""

import os
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from farm.codegen.emit import check_name, emit, kernel_files, macro_names
from farm.codegen.front.annotate import annotate_ranges
from farm.codegen.front.source import read_source
from farm.codegen.lower.graph import lower
from farm.codegen.ops.literal import initializer_lines
from farm.codegen.program import Copy, Element, Program, Tensor
from farm.codegen.storage import store
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import Range
from farm.errors import OptionError
from tests.models import build, value, weights

GOLDEN = Path(__file__).parent / "golden"


def small_net():
    """A convolution with Relu, and a mean."""
    from onnx.helper import make_node

    nodes = [
        make_node("Conv", ["image", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        make_node("Relu", ["c"], ["r"], name="relu"),
        make_node("GlobalAveragePool", ["r"], ["mean"], name="pool"),
    ]
    stored = weights(w=(4, 4, 3, 3), b=(4,))
    inputs, outputs = [value("image", [1, 4, 6, 6])], [value("mean", [1, 4, 1, 1])]
    return prepare(build(nodes, inputs, outputs, stored)).model


@pytest.fixture(scope="module")
def generated():
    names = {"image": Range(-1.0, 1.0), "r": Range(0.0, 2.0), "c": Range(-2.0, 2.0)}
    ranges = {**names, "mean": Range(0.0, 1.0)}
    program = lower(annotate_ranges(read_source(small_net()), ranges))
    return emit(program, store(program), "a small model")


@pytest.mark.parametrize(
    "name", ["model.h", "model.c", "weights.h", "weights.c", "runtime/package.h"]
)
def test_files_are_as_they_were(generated, name):
    if os.environ.get("FARM_WRITE_GOLDEN"):
        (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
        (GOLDEN / name).write_text(generated.files[name], encoding="utf-8")

    assert generated.files[name] == (GOLDEN / name).read_text(encoding="utf-8")


def copying(*names):
    """A program that copies one input to each of its outputs."""
    inputs = tuple(Tensor(name, (2,), Element.F32) for name in names)
    outputs = tuple(Tensor(f"{name}_out", (2,), Element.F32) for name in names)
    steps = tuple(Copy((x,), (y,)) for x, y in zip(inputs, outputs, strict=True))
    return Program(inputs, outputs, steps, tuple("copy" for _ in steps), 0)


def header(program):
    return emit(program, store(program), "test").files["model.h"]


def test_parameters_have_the_tensors_names():
    assert "const float *input_x, float *output_x_out)" in header(copying("x"))
    assert "const float *input_a_b_0, float *output_a_b_0_out)" in header(copying("/a/b:0"))


@pytest.mark.parametrize("names", [("a/b", "a:b"), ("n" * 60,), ("...",)])
def test_names_that_would_not_do_are_numbers(names):
    first = "const float *input_0"

    assert f"void model_run(void *memory, {first}" in header(copying(*names))


def test_kernels_have_no_name_that_generated_code_may_have():
    folder = resources.files("farm.codegen") / "kernels"
    text = "".join(kernel.read_text() for kernel in folder.iterdir())
    names = set(re.findall(r"\b[A-Za-z]\w*", text))
    parameter = r"(in|out)put_\w*"
    of_the_package = (
        r"(?!FARM_)\w+_(run|call|data\d+_\w*|H|(ARENA|SCRATCH|MEMORY|INPUT|OUTPUT)_BYTES)"
    )

    assert not [n for n in names if re.fullmatch(f"{parameter}|{of_the_package}", n)]


@pytest.mark.parametrize("name", ["model", "kws", "KWS_2", "inputs", "a"])
def test_names_of_packages(name):
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "1st", "_a", "a-b", "ä", "kws\n", "int", "new", "and_eq", "farm_conv", "Input"]
)
def test_names_that_packages_cannot_have(name):
    with pytest.raises(
        OptionError, match=r"A package's name is a C identifier like kws, .*; got "
    ):
        check_name(name)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\rb", r"a\rb"),
        ("a\nb", r"a\nb"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\u202eb\u2028", r"a\u202eb\u2028"),
    ],
)
def test_a_name_breaks_no_line(name, shown):
    text = header(copying(name))
    assert shown in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_a_name_cannot_end_a_comment():
    text = header(copying("*/ int evil; /*"))

    assert "*/ int evil" not in text


def test_an_input_that_nothing_reads_gives_no_warning():
    x, unused, y = (Tensor(name, (2,), Element.F32) for name in ("x", "unused", "y"))
    program = Program((x, unused), (y,), (Copy((x,), (y,)),), ("copy",), 0)

    text = emit(program, store(program), "test").files["model.c"]

    assert "(void)input_unused;" in text
    assert "(void)input_x;" not in text


def test_calls_of_one_shape_share_a_function():
    text = emit(copying("x", "y"), store(copying("x", "y")), "test").files["model.c"]

    assert text.count("static __attribute__((noinline))") == 1
    assert text.count("copy_bytes_0((void *)") == 2


def test_equal_constants_are_written_once():
    class Twice(Copy):
        def call(self, bind):
            names = {bind.constant(np.ones(3, np.int8), hint) for hint in "ab"}
            assert len(names) == 1
            assert bind.constant(np.ones(3, np.uint8), "c") not in names
            return super().call(bind)

    x, y = Tensor("x", (2,), Element.F32), Tensor("y", (2,), Element.F32)
    program = Program((x,), (y,), (Twice((x,), (y,)),), ("copy",), 0)

    assert emit(program, store(program), "test").weight_bytes == 6


def test_kernels_come_with_what_they_include():
    found = kernel_files(("conv.h",))

    assert {"common.h", "conv.h", "vector.h", "vector_hvx.h"} <= set(found)


def test_macros_of_parameters_that_capitals_would_make_one_are_numbered():
    assert macro_names(["input_image", "input_mask"]) == ["INPUT_IMAGE", "INPUT_MASK"]
    assert macro_names(["output_a", "output_A"]) == ["OUTPUT_0", "OUTPUT_1"]


def test_every_number_is_one_that_c_has():
    lowest = np.array([-(2**63), 2**63 - 1], np.int64)
    assert list(initializer_lines(lowest)) == ["(-9223372036854775807 - 1), 9223372036854775807,"]
    assert list(initializer_lines(np.array([True, False]))) == ["1, 0,"]
    awkward = np.float32([np.nan, np.inf, -np.inf, 0.5])
    (line,) = initializer_lines(awkward)
    assert (
        line == '__builtin_nanf(""), __builtin_inff(), -__builtin_inff(), 0x1.0000000000000p-1f,'
    )
