"""``farm nightly run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from commands.nightly.options import (
    JunitOption,
    MarkdownOption,
    OnRegressionOption,
    SuiteArgument,
)
from commands.nightly.place import place_of
from commands.nightly.shown import show, speaker
from commands.shared.options.common import JsonOption, ProfilesOption, StoreOption, known_profiles
from commands.shared.shell import completion, exit_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tuner.nightly.suites.suite import Suite


def run(
    suite: SuiteArgument,
    *,
    case: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this case. Repeatable.",
            autocompletion=completion.case_name,
        ),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="What is measured of this case is good from now on, whatever was before, and its "
            "model may be another one. Repeatable.",
            autocompletion=completion.case_name,
        ),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Do not go on with a night that was cut short.")
    ] = False,
    on_regression: OnRegressionOption = None,
    junit: JunitOption = None,
    markdown: MarkdownOption = None,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measure every case of a suite beside its last good state, and say what changed.

    Ends with 0 where all is fine, 1 for a regression, 3 where something could not be measured.

    Example: farm nightly run suite.toml --junit night.xml
    """
    from db.records import utc_now
    from db.store import Store
    from reports.nightly.files import check_places
    from reports.nightly.machine_readable import night_json
    from reports.progress import TuneProgress
    from tuner.nightly.hook import tell
    from tuner.nightly.night import NightRun, Options
    from tuner.nightly.recall import last_night
    from tuner.nightly.screen.series import Verdict
    from tuner.nightly.suites.file import read_suite

    known = known_profiles(profiles)
    read = read_suite(suite, profiles, files=False)
    check_places(junit, markdown)
    console = Console(stderr=True)
    say = speaker(console)
    with Store.open(store) as opened:
        with TuneProgress(console) as progress:
            place = place_of(opened, known, progress, say)
            options = Options(tuple(case or ()), tuple(accept or ()), anew)
            night = NightRun(place, read, options, _installer(read, say), say)
            try:
                night.run()
            except KeyboardInterrupt:
                say(
                    "Interrupted; what was measured is kept, and the night goes on with "
                    f"farm nightly run {suite}"
                )
                raise typer.Exit(exit_codes.INTERRUPTED) from None
        report = last_night(opened, read, utc_now())
    show(report, junit, markdown, as_json=json_output)
    if on_regression and report.verdict is Verdict.REGRESSION:
        say(tell(on_regression, night_json(report)))
    raise typer.Exit(report.exit_code)


def _installer(suite: Suite, say: Callable[[str], None]) -> Callable[[str, Sequence[str]], str]:
    from workers.environments.resolve import engines_of, ensure, resolve

    def install(name: str, packages: Sequence[str]) -> str:
        whole, engines = f"suite-{suite.name}-{name}", engines_of(packages)
        return ensure(resolve(whole, engines, packages, say), say).environment.name

    return install
