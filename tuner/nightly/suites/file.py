"""Reads a suite from its TOML file; whatever is wrong is one sentence with file and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from farm.candidate import read_candidate
from farm.devices.profile import DeviceProfile, load_profiles, select_profiles
from farm.errors import CandidateError, DeviceError, OptionError
from farm.measurement import Metric
from farm.units import Seconds, parse_seconds
from tuner.nightly.suites.lines import Lines
from tuner.nightly.suites.schedule import EXAMPLE, parse_schedule
from tuner.nightly.suites.suite import DEFAULT_BUDGET, DEFAULT_METRICS, Case, Suite
from tuner.nightly.suites.table import Table
from tuner.nightly.tonight import WATCHED
from workers.environments.resolve import engines_of
from workers.gpus.devices import with_gpus

BASELINE = "baseline"
_WINNER = re.compile(r"winner of (\S+)")
_LARGEST_SIZE = (1 << 31) - 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_NAME_TAKES = "up to 60 letters of ASCII, digits, '-', '_' and '.', a letter or digit first"
_KEYS = ("name", "budget", "metrics", "schedule", "case", "environment")
_CASE_KEYS = (
    *("model", "data", "device", "devices", "candidate", "name", "budget", "metrics", "shape"),
    "threads",
)


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What a case has unless it says something else, and the devices that it can name.

    files: what it names must be there.
    """

    budget: float
    metrics: tuple[Metric, ...]
    profiles: dict[str, DeviceProfile]
    files: bool


def read_suite(path: Path, profiles: Path | None = None, *, files: bool = True) -> Suite:
    """Read a suite. profiles: a folder with further device profiles.

    files: that it names must be there. Without, whoever measures a case says so of that case.

    Paths in it are relative to the file's folder, and become absolute.

    Raises OptionError: what is wrong and on which line. Raises DeviceError for a profile that
    cannot be read.
    """
    table = _read(path)
    table.only("a suite", _KEYS)
    name = _name(table)
    if not name:
        raise table.error('the suite has no name: write for example name = "shop-floor".')
    schedule = _schedule(table)
    defaults = _Defaults(
        _budget(table, Seconds(DEFAULT_BUDGET)),
        _metrics(table, DEFAULT_METRICS),
        with_gpus(load_profiles(profiles)),
        files,
    )
    found = [(each, case) for each in table.tables("case") for case in _cases(each, defaults)]
    if not found:
        raise table.error(
            "the suite has no case: begin one with [[case]] and name its model, for example "
            'model = "detector.onnx".'
        )
    _check_apart(found)
    cases = tuple(case for _, case in found)
    return Suite(name, path.absolute(), cases, schedule, dict(_environments(table)))


def _read(path: Path) -> Table:
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise OptionError(f"There is no suite {path}.") from None
    except OSError as error:
        raise OptionError(f"Suite {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise OptionError(f"Suite {path} cannot be read: it is not text in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"Suite {path} is not valid TOML: {error}.") from None
    return Table(path, Lines(text), (), values)


def _name(table: Table) -> str:
    """What ``name`` says, fit for the name of a file; empty where it is not there."""
    name = table.text("name", '"shop-floor"')
    if name and not _NAME.fullmatch(name):
        raise table.error(f"name takes {_NAME_TAKES}, got '{name}'.", "name")
    return name


def _cases(table: Table, defaults: _Defaults) -> Iterator[Case]:
    """The cases of one table, one per device."""
    table.only("a case", _CASE_KEYS)
    files = defaults.files
    model = _file(table, "model", '"detector.onnx"', files=files)
    if model is None:
        raise table.error('the case has no model: write for example model = "detector.onnx".')
    # A file may be called anything; what cannot be in a name becomes a dash.
    name = _name(table) or re.sub(r"[^A-Za-z0-9._-]+", "-", model.stem).strip("-._") or "model"
    devices = _devices(table, defaults.profiles)
    for device in devices:
        yield Case(
            name=f"{name}-{device}" if len(devices) > 1 else name,
            model=model,
            device=device,
            data=_file(table, "data", '"samples.npz"', files=files),
            candidate=_candidate(table, files=files),
            budget=_budget(table, Seconds(defaults.budget)),
            metrics=_metrics(table, defaults.metrics),
            shapes=_shapes(table),
            threads=table.count("threads", 1) or 0,
        )


def _check_apart(cases: Sequence[tuple[Table, Case]]) -> None:
    """Raise OptionError for two cases of one name."""
    seen: dict[str, Table] = {}
    for table, case in cases:
        if case.name in seen:
            raise table.error(
                f"a case is called '{case.name}' already, on line {seen[case.name].line}: give "
                'one of them another name, for example name = "other".',
                "name",
            )
        seen[case.name] = table


def _devices(table: Table, profiles: dict[str, DeviceProfile]) -> tuple[str, ...]:
    """Devices of a case."""
    if table.has("device") and table.has("devices"):
        raise table.error("device and devices contradict each other: leave one out.", "devices")
    names = table.texts("devices", '["cpu", "gpu"]') or (table.text("device", '"cpu"', "cpu"),)
    key = "devices" if table.has("devices") else "device"
    try:
        found = select_profiles(names, profiles)
    except DeviceError as error:
        raise table.error(str(error), key) from None
    if len(found) < len(names):
        raise table.error("devices names one of them twice.", key)
    return tuple(profile.name for profile in found)


def _file(table: Table, key: str, example: str, *, files: bool) -> Path | None:
    """The file that a key names; None where the key is not there. files: it must be there."""
    text = table.text(key, example)
    if not text:
        return None
    folder = table.file.absolute().parent
    try:
        if not files or (folder / text).is_file():
            return folder / text
        what = "is a folder" if (folder / text).is_dir() else "is not there"
    except OSError as error:
        what = f"cannot be looked at ({error.strerror})"
    raise table.error(f"{key} {text} {what}: it is looked for in {folder}.", key)


def _candidate(table: Table, *, files: bool) -> str:
    """``baseline``, ``winner of RUN``, or the path of a candidate that can be read."""
    text = table.text("candidate", f'"{BASELINE}"', BASELINE)
    if text == BASELINE or _WINNER.fullmatch(text):
        return text
    if text.split()[0] == "winner":
        raise table.error(
            f"candidate '{text}' names no run: write winner of RUN; `farm runs` lists them.",
            "candidate",
        )
    path = table.file.absolute().parent / text
    if not files:
        return str(path)
    try:
        read_candidate(path)
    except CandidateError as error:
        raise table.error(
            f"candidate is '{BASELINE}', 'winner of RUN', or a file. {error}", "candidate"
        ) from None
    return str(path)


def _budget(table: Table, default: Seconds) -> Seconds:
    text = table.text("budget", '"60s"')
    try:
        seconds = parse_seconds(text) if text else default
    except OptionError as error:
        raise table.error(f"budget: {error}", "budget") from None
    if seconds <= 0:
        raise table.error(f"budget {text} leaves no time: write for example 60s.", "budget")
    return seconds


def _metrics(table: Table, default: tuple[Metric, ...]) -> tuple[Metric, ...]:
    names = table.texts("metrics", '["latency", "cpu_seconds"]')
    known = [str(metric) for metric in WATCHED]
    found = [Metric(table.one_of("metrics", name, known, "metric")) for name in names]
    if {Metric.FIRST_RESULT, Metric.ENERGY} <= set(found):
        raise table.error(
            "metrics first_result and energy are not measured in the same blocks: make two cases.",
            "metrics",
        )
    return tuple(dict.fromkeys(found)) or default


def _shapes(table: Table) -> Mapping[str, int]:
    shape = table.table("shape")
    for name in shape.values:
        if (size := shape.count(name, 0) or 0) > _LARGEST_SIZE:
            raise shape.error(f"{name} is {_LARGEST_SIZE} at most, got {size}.", name)
    return dict(shape.values)


def _schedule(table: Table) -> str:
    text = table.text("schedule", f'"{EXAMPLE}"')
    try:
        if text:
            parse_schedule(text)
    except OptionError as error:
        raise table.error(str(error), "schedule") from None
    return text


def _environments(table: Table) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names and packages."""
    environments = table.table("environment")
    for name in environments.values:
        environment = environments.table(name)
        if not _NAME.fullmatch(name):
            raise environment.error(
                f"the name of an environment takes {_NAME_TAKES}; got '{name}'."
            )
        environment.only(f"environment {name}", ("packages",))
        packages = environment.texts("packages", '["onnxruntime==1.32.0"]')
        if not packages:
            raise environment.error(
                f"environment {name} names no packages: write for example packages = "
                '["onnxruntime==1.32.0"].'
            )
        for number, package in enumerate(packages):
            _check_package(environment, number, package)
        try:
            engines_of(packages)
        except DeviceError as error:
            raise environment.error(str(error), "packages") from None
        yield name, packages


def _check_package(table: Table, number: int, package: str) -> None:
    """Raise OptionError for what is no requirement of pip."""
    try:
        Requirement(package)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise table.error(
            f"'{package}' is no requirement as pip has it ({reason}); write for example "
            "onnxruntime==1.32.0.",
            *("packages", number),
        ) from None
