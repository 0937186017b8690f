"""How the failures of the tools below the passes are told."""

import logging
import sys

import pytest

from farm.compile.passes import quiet, reason, reported_as
from farm.errors import CompileError

_APPLY = "virtual ort::Status ort::FuseReluClip::Apply(ort::Graph&, const ort::Logger&) const"
_RELU_CLIP = f"/src/core/optimizer/relu_clip_fusion.cc:83 {_APPLY}"
_UNEXPECTED = "Loading: Unexpected type of 'min'."
_ASSERTION = (
    "/project/version_converter/convert.h:96: assertInVersionRange: Assertion `version >= "
    "range.first` failed: Warning: invalid version (must be between 1 and 28)."
)
_RESHAPE = (
    "Status: /src/cpu/reshape.h:47 ort::Reshape::Reshape(const ort::Shape&, bool) input.Size() == "
    "size was false. The shapes {2,3} and {4} do not fit."
)
_LAMBDA = (
    "/src/core/x.cc:12 std::unique_ptr<T> ort::get(const std::function<void(int)>&)::<lambda(int)>"
    " [with T = float; U = int] it != end() was false. "
)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ValueError("\n  first line \n second"), "first line."),
        (KeyError("weight"), "KeyError weight."),
        (AssertionError(), "AssertionError."),
        (RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : No kernel"), "No kernel."),
        (RuntimeError("/a/b/core/model.cc:25 Model Too new!"), "Model Too new!"),
        (RuntimeError(f"Loading: {_RELU_CLIP} Unexpected type of 'min'"), _UNEXPECTED),
        (RuntimeError(_ASSERTION), "Warning: invalid version (must be between 1 and 28)."),
        (RuntimeError(_RESHAPE), "Status: The shapes {2,3} and {4} do not fit."),
        (RuntimeError(_LAMBDA), "an internal check failed."),
    ],
)
def test_a_reason_is_one_sentence(raised, told):
    assert reason(raised) == told


def test_a_long_reason_is_cut():
    assert len(reason(ValueError("x" * 1000))) < 260


def test_a_tools_error_names_pass_and_operator():
    with (
        pytest.raises(CompileError, match=r"^Pass fold failed at operator 'conv': No\.$"),
        reported_as("fold", "conv"),
    ):
        raise TypeError("No")


def test_other_errors_pass_through():
    with pytest.raises(MemoryError), reported_as("fold"):
        raise MemoryError
    with pytest.raises(CompileError, match=r"^As it was\.$"), reported_as("fold"):
        raise CompileError("As it was.")


def test_quiet_keeps_the_terminal_and_the_root_logger(capsys):
    handlers = list(logging.getLogger().handlers)
    with quiet():
        sys.stdout.write("noise")
        logging.getLogger("tool").warning("noise")
        logging.basicConfig()
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers
    assert logging.root.manager.disable == logging.NOTSET
