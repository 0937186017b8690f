"""How the failures of the tools below the passes are told."""

import logging
import sys

import pytest

from farm.compile.passes import quiet, reason, reported_as
from farm.errors import CompileError


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ValueError("\n  first line \n second"), "first line."),
        (KeyError("weight"), "KeyError weight."),
        (AssertionError(), "AssertionError."),
        (RuntimeError("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : No kernel"), "No kernel."),
        (RuntimeError("/a/b/core/model.cc:25 Model Too new!"), "model.cc:25 Model Too new!"),
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
