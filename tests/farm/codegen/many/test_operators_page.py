"""The page on supported operators says what the code generator supports."""

import re
from pathlib import Path

import farm
from farm.codegen.lower.floats.operators import FLOAT_OPERATORS
from farm.codegen.lower.integer.operators import LOWERINGS
from farm.codegen.lower.movement import MOVEMENT_OPERATORS
from farm.codegen.lower.typed import TYPED_OPERATORS

PAGE = Path(farm.__file__).parent.parent / "docs" / "reference" / "generated-operators.md"


def test_every_supported_operator_is_listed():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    listed = {name for row in rows[1:] for name in re.findall(r"[A-Z]\w+", row.split("|")[1])}

    assert listed == {
        *LOWERINGS,
        *FLOAT_OPERATORS,
        *MOVEMENT_OPERATORS,
        *TYPED_OPERATORS,
    }
