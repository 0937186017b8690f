"""``farm query``."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.shared.options.common import StoreOption
from commands.shared.output import (
    AsJsonOption,
    FormatOption,
    RowsFileOption,
    destination,
    print_rows,
)


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT statement.")],
    *,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """Ask the store anything, by its tables and views; the connection cannot write.

    Example: farm query "SELECT candidate, latency FROM trials WHERE outcome = 'ok'"
    """
    from db.questions.sql import asking

    to = destination(output_format, output, as_json=json_output)
    with asking(store, sql) as answer:
        print_rows(answer.columns, answer.rows, to)
