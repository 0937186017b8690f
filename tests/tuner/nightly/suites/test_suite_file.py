"""Suites as people write them, and what is said of those that they got wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.candidate import Candidate, OnnxRuntimeCpu, to_json
from farm.errors import OptionError
from farm.measurement import Metric
from tests.tools.command import ROOT
from tuner.nightly.suites.file import read_suite
from tuner.nightly.suites.suite import Case

WHOLE = """\
name = "shop-floor"
budget = "90s"
metrics = ["latency", "cpu_seconds"]
schedule = "0 3 * * mon-fri"

[[case]]
model = "detector.onnx"
data = "samples.npz"
device = "fake"
candidate = "winner of detector-20261121-065312"
shape = { batch = 1 }
threads = 2

[[case]]
name = "keywords"
model = "models/kws v2.onnx"
devices = ["cpu", "gpu"]
candidate = "fast.json"
budget = "2m"
metrics = ["latency"]

[[case]]
model = "models/kws v2.onnx"

[environment.next]
packages = ["onnxruntime==1.32.0", "numpy>=2"]
"""
FIRST = """\
name = "shop-floor"
[[case]]
model = "detector.onnx"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What suites name; the current folder is another one."""
    (tmp_path / "models").mkdir()
    for name in ("detector.onnx", "samples.npz", "models/kws v2.onnx"):
        (tmp_path / name).touch()
    (tmp_path / "fast.json").write_text(to_json(Candidate(OnnxRuntimeCpu(threads=1))))
    (tmp_path / "odd.json").write_text('{"engine": 1}')
    monkeypatch.chdir(tmp_path / "models")
    return tmp_path


@pytest.fixture
def refused(folder: Path):
    """The sentence with which a suite is refused, from the line on."""

    def read(text: str) -> str:
        path = folder / "suite.toml"
        path.write_text(text)
        with pytest.raises(OptionError) as error:
            read_suite(path)
        told = str(error.value)
        assert "\n" not in told
        return told.removeprefix(f"{path}, line ")

    return read


def test_a_suite_with_everything(folder: Path) -> None:
    (folder / "suite.toml").write_text(WHOLE)
    suite = read_suite(Path("../suite.toml"))
    assert (suite.name, suite.schedule) == ("shop-floor", "0 3 * * mon-fri")
    assert suite.path.is_absolute()
    assert suite.environments == {"next": ("onnxruntime==1.32.0", "numpy>=2")}
    detector, *keywords, plain = suite.cases
    both = (Metric.LATENCY, Metric.CPU_SECONDS)
    here = suite.path.parent
    assert detector == Case(
        *("detector", here / "detector.onnx", "fake", here / "samples.npz"),
        *("winner of detector-20261121-065312", 90.0, both, {"batch": 1}, 2),
    )
    kws = here / "models/kws v2.onnx"
    assert [(case.name, case.device) for case in keywords] == [
        *(("keywords-cpu", "cpu"), ("keywords-gpu", "gpu")),
    ]
    assert {(case.candidate, case.budget, case.metrics) for case in keywords} == {
        (str(here / "fast.json"), 120.0, (Metric.LATENCY,))
    }
    assert plain == Case("kws-v2", kws, budget=90.0, metrics=both)


def test_what_is_left_out(folder: Path) -> None:
    (folder / "suite.toml").write_text(FIRST)
    suite = read_suite(folder / "suite.toml")
    assert suite.cases == (Case("detector", folder / "detector.onnx"),)
    assert (suite.schedule, suite.environments) == ("", {})


def test_a_device_of_the_user(folder: Path) -> None:
    text = (ROOT / "farm" / "devices" / "profiles" / "cpu.toml").read_text()
    (folder / "profiles").mkdir()
    (folder / "profiles" / "server.toml").write_text(text.replace('"cpu"', '"server"', 1))
    (folder / "suite.toml").write_text(f'{FIRST}device = "server"')
    assert read_suite(folder / "suite.toml", folder / "profiles").cases[0].device == "server"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            f'{FIRST}devce = "cpu"',
            (
                "4: a case has no key 'devce'. Did you mean device or devices? Keys: model, data, "
                "device, devices, candidate, name, budget, metrics, shape, threads."
            ),
        ),
        (
            f'shedule = "0 3 * * *"\n{FIRST}',
            (
                "1: a suite has no key 'shedule'. Did you mean schedule? Keys: name, budget, "
                "metrics, schedule, case, environment."
            ),
        ),
        (
            f"{FIRST}[environment.next]\npackage = []",
            "5: environment next has no key 'package'. Did you mean packages? Keys: packages.",
        ),
        (
            '[[case]]\nmodel = "detector.onnx"',
            '1: the suite has no name: write for example name = "shop-floor".',
        ),
        (
            'name = "a b"',
            (
                "1: name takes up to 60 letters of ASCII, digits, '-', '_' and '.', a letter or "
                "digit first, got 'a b'."
            ),
        ),
        (f'{FIRST}name = "../up"', "4: name takes up to 60 letters of ASCII"),
        ("name = 7", '1: name takes a text, as in name = "shop-floor", got 7.'),
        (f'{FIRST}data = ""', '4: data takes a text, as in data = "samples.npz", got an empty'),
        ('name = "a"', "1: the suite has no case: begin one with [[case]] and name its model"),
        ('name = "a"\ncase = 1', "2: case is a list of tables: begin each with [[case]]."),
        ('name = "a"\n[case]', "2: case is a list of tables: begin each with [[case]]."),
        (
            'name = "a"\n[[case]]\n',
            '2: the case has no model: write for example model = "detector.onnx".',
        ),
        (
            f'{FIRST}\n[[case]]\nmodel = "detector.onnx"\ndevice = "gpu"',
            (
                "5: a case is called 'detector' already, on line 2: give one of them another "
                'name, for example name = "other".'
            ),
        ),
        (
            f'{FIRST}devices = ["cpu", "cpu"]',
            "4: devices names one of them twice.",
        ),
        (
            f'{FIRST}device = "cpu"\ndevices = ["gpu"]',
            "5: device and devices contradict each other: leave one out.",
        ),
        (f'{FIRST}device = "gpuu"', "4: Unknown device 'gpuu'. Did you mean gpu"),
        (
            f"{FIRST}devices = []",
            '4: devices takes a list of texts, as in devices = ["cpu", "gpu"], got an empty list.',
        ),
        (
            f'{FIRST}devices = "cpu"',
            '4: devices takes a list of texts, as in devices = ["cpu", "gpu"], got \'cpu\'.',
        ),
        (
            f'{FIRST}data = "nothing.npz"',
            "4: data nothing.npz is not there: it is looked for in /",
        ),
        (
            f'{FIRST}data = "a\\u0000"',
            "4: data takes a text, as in data = \"samples.npz\", got 'a\\x00'.",
        ),
        (
            f'{FIRST}data = "{300 * "x"}"',
            "x cannot be looked at (File name too long): it is looked",
        ),
        (f'{FIRST}metrics = ["latency", 1]', '"cpu_seconds"], got 1 in it.'),
        (f'{FIRST}data = "models"', "4: data models is a folder: it is looked for in /"),
        (
            f'{FIRST}metrics = ["latancy"]',
            "4: unknown metric 'latancy'. Did you mean latency? Known: latency,",
        ),
        (
            f'{FIRST}metrics = ["energy", "first_result"]',
            "4: metrics first_result and energy are not measured in the same blocks: make",
        ),
        (f"{FIRST}metrics = [1]", '4: metrics takes a list of texts, as in metrics = ["latency",'),
        (
            f'{FIRST}budget = "1 week"',
            "4: budget: '1 week' is not a time; write for example 90s, 2m, 1h30m, 30d or 5ms.",
        ),
        (f"{FIRST}budget = 60", '4: budget takes a text, as in budget = "60s", got 60.'),
        (f'{FIRST}budget = "0s"', "4: budget 0s leaves no time: write for example 60s."),
        (
            f'name = "a"\nschedule = "0 25 * * *"\n{FIRST[20:]}',
            "2: schedule '0 25 * * *': hour takes 0 to 23, got '25'.",
        ),
        (
            f'{FIRST}candidate = "winner of"',
            "4: candidate 'winner of' names no run: write winner of RUN; `farm runs` lists them.",
        ),
        (f'{FIRST}candidate = "winner run-1"', "4: candidate 'winner run-1' names no run"),
        (
            f'{FIRST}candidate = "nothing.json"',
            "4: candidate is 'baseline', 'winner of RUN', or a file. Cannot read candidate file /",
        ),
        (f'{FIRST}candidate = "odd.json"', "odd.json is not a candidate: at engine"),
        (f"{FIRST}shape = 1", "4: shape is a table, got 1."),
        (
            f"{FIRST}shape = {{ batch = -1 }}",
            "4: batch takes a whole number from 0 on, got -1.",
        ),
        (f"{FIRST}[case.shape]\nbatch = 1.5", "5: batch takes a whole number from 0 on, got 1.5."),
        (f"{FIRST}shape.batch = 9999999999", "4: batch is 2147483647 at most, got 9999999999."),
        (f"{FIRST}threads = 0", "4: threads takes a whole number from 1 on, got 0."),
        (f"{FIRST}threads = true", "4: threads takes a whole number from 1 on, got true."),
        (f"environment = 1\n{FIRST}", "1: environment is a table, got 1."),
        (
            f'{FIRST}[environment."a b"]',
            (
                "4: the name of an environment takes up to 60 letters of ASCII, digits, '-', '_' "
                "and '.', a letter or digit first; got 'a b'."
            ),
        ),
        (
            f"{FIRST}[environment.next]",
            (
                "4: environment next names no packages: write for example packages = "
                '["onnxruntime==1.32.0"].'
            ),
        ),
        (
            f'{FIRST}[environment.next]\npackages = ["onnxruntime=1.32"]',
            "5: 'onnxruntime=1.32' is no requirement as pip has it (",
        ),
        (
            f'{FIRST}[environment.next]\npackages = ["--index-url x"]',
            "5: '--index-url x' is no requirement as pip has it (",
        ),
    ],
)
def test_a_suite_that_is_wrong(refused, text: str, sentence: str) -> None:
    told = refused(text)
    assert told.startswith(sentence) if sentence[0].isdigit() else sentence in told


def test_what_is_no_suite(folder: Path, refused) -> None:
    path = folder / "suite.toml"
    assert refused("name = \n") == (
        f"Suite {path} is not valid TOML: Invalid value (at line 1, column 8)."
    )
    with pytest.raises(OptionError, match=r"There is no suite nowhere\.toml\."):
        read_suite(Path("nowhere.toml"))
    with pytest.raises(OptionError, match="cannot be read: Is a directory"):
        read_suite(folder)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(OptionError, match="it is not text in UTF-8"):
        read_suite(path)
