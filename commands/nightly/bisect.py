"""``farm nightly bisect``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from commands.nightly.place import place_of
from commands.nightly.shown import speaker
from commands.shared.options.common import (
    JsonOption,
    ProfilesOption,
    StoreOption,
    known_profiles,
    one_of,
)
from commands.shared.output import print_lines, print_tables
from commands.shared.shell import completion, exit_codes
from farm.errors import OptionError
from farm.text import did_you_mean

if TYPE_CHECKING:
    from tuner.nightly.bisect.result import Bisection
    from tuner.nightly.suites.suite import Case, Suite


def bisect(
    case: Annotated[
        str,
        typer.Argument(
            metavar="CASE",
            help="Case of the suite, by its name.",
            autocompletion=completion.case_name,
        ),
    ],
    *,
    suite: Annotated[
        Path,
        typer.Option(
            "--suite",
            metavar="SUITE",
            help="TOML file that describes the suite.",
            autocompletion=completion.suite_file,
        ),
    ],
    good: Annotated[
        str,
        typer.Option(
            metavar="PACKAGE==VERSION", help="A good version. Default: the last good state's."
        ),
    ] = "",
    bad: Annotated[
        str, typer.Option(metavar="PACKAGE==VERSION", help="A bad version. Default: today's.")
    ] = "",
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What became worse. Default: the case's first metric."),
    ] = None,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Find which version, or which option, made a case slower, and in which operators.

    Measures versions between the last good state's and today's beside the former; each is
    installed in an environment of its own, which stays.

    Example: farm nightly bisect detector --suite suite.toml --good onnxruntime==1.31.1
    """
    from db.questions.nightly.nights import series_of
    from db.store import Store
    from farm.measurement import Metric
    from reports.nightly.bisection import bisection_json, bisection_tables, step_line
    from reports.progress import TuneProgress
    from tuner.nightly.bisect.ends import Asked
    from tuner.nightly.bisect.measure import Setting
    from tuner.nightly.bisect.result import Step
    from tuner.nightly.bisect.run import bisect as find
    from tuner.nightly.suites.file import read_suite
    from workers.environments.pip import released_versions

    known = known_profiles(profiles)
    read = read_suite(suite, profiles, files=False)
    chosen = _case(read, case)
    asked = Asked(one_of(Metric, metric, "--metric") or chosen.metrics[0], good, bad)
    console = Console(stderr=True)
    say = speaker(console)
    steps: list[Step] = []

    def told(step: Step) -> None:
        steps.append(step)
        say(step_line(step))

    with Store.open(store) as opened, TuneProgress(console) as progress:
        place = place_of(opened, known, progress, say)
        setting = Setting(place, chosen, released_versions, _installer(say), told)
        series = [each for each in series_of(opened, read.name) if each.case == chosen.name]
        try:
            found = find(setting, read.name, series, asked)
        except KeyboardInterrupt:
            _say_interrupted(len(steps))
            raise typer.Exit(exit_codes.INTERRUPTED) from None
    if json_output:
        typer.echo(bisection_json(found))
    else:
        _show(found, bisection_tables(found))


def _show(found: Bisection, tables: Sequence[object]) -> None:
    for table in tables:
        print_tables(table, [])
    print_lines([found.sentence, *found.notes])


def _case(suite: Suite, name: str) -> Case:
    """The case of this name. Raises OptionError."""
    known = {case.name: case for case in suite.cases}
    if name not in known:
        raise OptionError(
            f"Suite {suite.name} has no case '{name}'. {did_you_mean(name, known)}Cases: "
            f"{', '.join(known)}."
        )
    return known[name]


def _installer(say: Callable[[str], None]) -> Callable[[str, str, str], str]:
    """Installs versions. say: told of each once, not of every package that comes along."""
    from workers.environments.resolve import ensure, environment_of_versions

    known: dict[tuple[str, str, str], str] = {}

    def install(engine: str, package: str, version: str) -> str:
        key = engine, package, version
        if key not in known:
            say(f"{package} {version}: its environment is looked for, or made")
            environment = environment_of_versions(engine, {package: version}, _nothing)
            known[key] = ensure(environment, _nothing).environment.name
        return known[key]

    return install


def _nothing(line: str) -> None:
    del line


def _say_interrupted(steps: int) -> None:
    done = "what was measured is in the store, and environments stay installed"
    typer.echo(f"Interrupted after {steps} comparisons; {done}.", err=True)
