"""``farm query``."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.shared.options import StoreOption
from commands.shared.output import AsJsonOption, FormatOption, chosen_format, print_rows


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT statement.")],
    *,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    store: StoreOption = None,
) -> None:
    """Ask the store anything; the connection cannot write.

    Example: farm query "SELECT outcome, count(*) FROM trial GROUP BY outcome"
    """
    from db.questions.sql import asking

    shown = chosen_format(output_format, as_json=json_output)
    with asking(store, sql) as answer:
        print_rows(answer.columns, answer.rows, shown)
