"""``farm nightly check``."""

from __future__ import annotations

import typer

from commands.nightly.options import JunitOption, MarkdownOption, SuiteArgument
from commands.nightly.shown import show
from commands.shared.options.common import JsonOption, ProfilesOption, StoreOption


def check(
    suite: SuiteArgument,
    *,
    junit: JunitOption = None,
    markdown: MarkdownOption = None,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say what the last night found; nothing is measured.

    Ends with 0 where all is fine, 1 for a regression, 3 where something could not be measured.

    Example: farm nightly check suite.toml --markdown night.md
    """
    from db.reader import StoreReader
    from db.records import utc_now
    from reports.nightly.files import check_places
    from tuner.nightly.recall import last_night
    from tuner.nightly.suites.file import read_suite

    read = read_suite(suite, profiles, files=False)
    check_places(junit, markdown)
    with StoreReader.open(store) as reader:
        report = last_night(reader, read, utc_now())
    show(report, junit, markdown, as_json=json_output)
    raise typer.Exit(report.exit_code)
