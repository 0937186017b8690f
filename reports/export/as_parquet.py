"""Apache Parquet, for pandas, Polars, DuckDB and others."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from farm.errors import OptionError
from reports.export.values import in_text, unique

try:
    import pyarrow as pa
    from pyarrow import parquet
except ModuleNotFoundError as error:
    raise OptionError(
        f"The format parquet needs the Python package {error.name}, which is not installed. "
        "Install it with: pip install pyarrow."
    ) from None

_PART = 1 << 20  # bytes
_NOT_ALIKE = (
    *(pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError),
    *(OverflowError, UnicodeEncodeError),
)


def export(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """The whole file, in parts. All rows are read first: only then is a column's type known."""
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    file = io.BytesIO()
    arrays = [_array(each) for each in values]
    parquet.write_table(
        pa.Table.from_arrays(arrays, unique([_text(name) for name in columns])), file
    )
    file.seek(0)
    while part := file.read(_PART):
        yield part


def _array(values: Sequence[object]) -> Any:  # noqa: ANN401 (pyarrow has no types)
    """A column of one type: of numbers of several kinds floats, of anything else text."""
    with suppress(*_NOT_ALIKE):
        return pa.array(values)
    if all(isinstance(value, int | float | None) for value in values):
        with suppress(OverflowError):
            return pa.array([value if value is None else float(value) for value in values])  # type: ignore[arg-type]
    texts = [value if value is None else _text(str(in_text(value))) for value in values]
    return pa.array(texts, pa.string())


def _text(text: str) -> str:
    """Half of a surrogate pair, which UTF-8 does not have, as Python writes it."""
    return text.encode("utf-8", "backslashreplace").decode()
