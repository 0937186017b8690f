"""`farm package`, `farm package verify`, `farm plan memory`, and `farm tune` on a DSP."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from farm.codegen.compilers import Target, host_targets
from tests.command import Command
from tests.models import custom_net, lstm_net, save

MAKE = ("package", "model.onnx", "--device", "dsp", "-o", "out")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of the small network, made once; tests change copies of it."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def package(farm: Command, made: Path) -> Path:
    """A package for the DSP in the current folder."""
    if not (made / "out").exists():
        ended = farm(*MAKE, "--data", "data.npz")
        assert ended.code == 0, ended.err
        shutil.copytree(farm.folder / "out", made / "out")
    else:
        shutil.copytree(made / "out", farm.folder / "out")
    return farm.folder / "out"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(bytes(content))


class TestPackage:
    def test_the_manifest_is_printed_and_written(self, farm, emulator):
        ended = farm(*MAKE, "--data", "data.npz", "--json")
        assert ended.code == 0, ended.err
        manifest = json.loads(ended.out)
        assert ended.out == (farm.folder / "out" / "manifest.json").read_text()
        assert manifest["profile"] == "dsp"
        assert manifest["precision"] == "int8 per-channel min-max"
        assert manifest["packets"] > 1000
        assert manifest["vectors"] == 16
        assert manifest["accuracy"]["float_value"] == 1.0, "it agrees with itself"
        assert manifest["accuracy"]["samples"] == 19, "all but those of the calibration"
        assert manifest["notes"] == []
        assert {"model_sha256", "arena_bytes", "weight_bytes", "code_bytes"} <= manifest.keys()

    def test_the_same_every_time_but_for_nothing(self, farm, package):
        farm(*MAKE, "--data", "data.npz", "--force")
        first = contents(package)
        ended = farm(*MAKE[:-1], "again", "--data", "data.npz")
        assert ended.code == 0, ended.err
        assert contents(farm.folder / "again") == first

    def test_for_the_host_in_float(self, farm):
        ended = farm(
            "package", "model.onnx", "--device", "cpu", "-o", "out", "--precision", "float32"
        )
        assert ended.code == 0, ended.err
        assert "float32" in ended.out
        assert str(host_targets()[0]) in ended.out
        assert farm("package", "verify", "out").code == 0

    def test_without_data_it_says_so(self, farm):
        ended = farm(*MAKE)
        assert ended.code == 0, ended.err
        assert "Calibrated on made-up inputs" in ended.out
        assert json.loads((farm.folder / "out" / "manifest.json").read_text())["accuracy"] is None

    def test_an_operator_stays_in_float(self, farm, package):
        before = json.loads((package / "manifest.json").read_text())
        ended = farm(*MAKE, "--data", "data.npz", "--keep-float", "Conv_0", "--force", "--json")
        assert ended.code == 0, ended.err
        after = json.loads(ended.out)
        assert after["precision"] == "int8 per-channel min-max (1 float)"
        assert after["weight_bytes"] > before["weight_bytes"]

    def test_an_output_folder_that_exists_is_refused(self, farm, package):
        before = contents(package)
        assert "exists already; give --force" in farm.refused(*MAKE)
        assert contents(package) == before
        assert farm(*MAKE, "--force").code == 0
        (farm.folder / "mine").mkdir()
        (farm.folder / "mine" / "letter.txt").write_text("dear")
        sentence = farm.refused(*MAKE[:-1], "mine", "--force")
        assert "is no package, so it is not replaced" in sentence

    def test_what_does_not_fit_says_what_binds(self, farm):
        profile = (Path(__file__).parent.parent / "farm/profiles/dsp-small.toml").read_text()
        tiny = profile.replace("dsp-small", "tiny").replace(
            "arena_bytes = 65536", "arena_bytes = 4096"
        )
        (farm.folder / "profiles").mkdir()
        (farm.folder / "profiles" / "tiny.toml").write_text(tiny)
        options = ("-o", "out", "--device", "tiny", "--profiles", "profiles")
        sentence = farm.refused("package", "model.onnx", *options)
        assert sentence.startswith("The package does not fit device tiny. Its arena and scratch ")
        assert "bytes more than the device's 4.00 KiB; most is needed at operator" in sentence
        assert not (farm.folder / "out").exists()

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("--device", "fake"), "Device fake runs no compiled packages here"),
            (("--compiler", "gcc"), "cannot be compiled by gcc here, only by zig"),
            (("--compiler", "tcc"), "--compiler takes one of zig, clang, gcc, got 'tcc'."),
            (("--precision", "int4"), "--precision takes one of int8, float32, got 'int4'."),
            (("--calibration", "best"), "--calibration takes one of min-max, entropy, perc"),
            (("--keep-float", "Nothing"), "Cannot keep 'Nothing' in float: there is no"),
            (("--data", "no.npz"), "There is no data file"),
        ],
    )
    def test_bad_options(self, farm, options, sentence):
        assert sentence in farm.refused(*MAKE, *options)
        assert not (farm.folder / "out").exists()

    def test_operators_that_are_not_supported_are_named(self, farm):
        save(lstm_net(), farm.folder, "lstm.onnx")
        sentence = farm.refused("package", "lstm.onnx", "-o", "out")
        assert "does not support operator 'lstm' (LSTM)" in sentence
        save(custom_net(), farm.folder, "custom.onnx")
        assert "acme.ops" in farm.refused("package", "custom.onnx", "-o", "out")
        assert not (farm.folder / "out").exists()

    def test_help_names_both_commands(self, farm):
        out = farm("package", "--help").out
        assert "build" in out
        assert "verify" in out
        assert "--calibration" in farm("package", "build", "--help").out


class TestVerify:
    def test_a_package_agrees(self, farm, package):
        ended = farm("package", "verify", "out", "--json")
        assert ended.code == 0, ended.err
        found = json.loads(ended.out)
        assert (found["agrees"], found["vectors"], found["disagreement"]) == (True, 16, "")
        assert "16 test vectors agree bit for bit" in farm("package", "verify", "out").out

    def test_on_the_host_where_there_is_no_emulator(self, farm, package, monkeypatch):
        monkeypatch.setenv("PATH", str(farm.folder))
        ended = farm("package", "verify", "out", "--json")
        assert ended.code == 0, ended.err
        found = json.loads(ended.out)
        assert found["target"] == str(Target.PORTABLE)
        assert "qemu-hexagon is not installed" in found["notes"][0]

    def test_an_answer_that_differs_is_named(self, farm, package):
        replies = package / "test_vectors" / "replies.bin"
        size = 1 + 4 * 4  # a letter, and the scores of four classes
        flip(replies, 3 * size + 1 + 4 * 2)
        ended = farm("package", "verify", "out")
        assert ended.code == 1
        assert "output 'scores' of test vector 3: element 2 is" in ended.out

    def test_changed_weights_are_found(self, farm, package):
        weights = package / "weights.c"
        text = weights.read_text()
        begin = text.index("{\n") + 2
        weights.write_text(text[:begin] + "97, " + text[begin:].split(", ", 1)[1])
        ended = farm("package", "verify", "out", "--json")
        assert ended.code == 1
        assert "output 'scores'" in json.loads(ended.out)["disagreement"]

    def test_a_manifest_that_tells_something_else_is_found(self, farm, package):
        manifest = package / "manifest.json"
        told = json.loads(manifest.read_text())
        manifest.write_text(json.dumps(told | {"arena_bytes": told["arena_bytes"] + 1}))
        ended = farm("package", "verify", "out")
        assert ended.code == 1
        assert "the manifest says arena_bytes" in ended.out
        manifest.write_text(json.dumps(told | {"code_bytes": 7}))
        assert "the manifest says code_bytes 7, and" in farm("package", "verify", "out").out

    def test_what_is_no_package(self, farm, package):
        (package / "test_vectors" / "requests.bin").write_bytes(b"r")
        assert "is damaged" in farm.refused("package", "verify", "out")
        (package / "test_vectors" / "requests.bin").unlink()
        assert "The package is not whole" in farm.refused("package", "verify", "out")
        (package / "manifest.json").write_text("{}")
        assert "is no manifest of a package" in farm.refused("package", "verify", "out")
        (package / "manifest.json").unlink()
        assert "is no package" in farm.refused("package", "verify", "out")
        assert "is no package" in farm.refused("package", "verify", "nowhere")

    def test_sources_that_do_not_compile(self, farm, package):
        (package / "model.c").write_text("int model_run = ;")
        assert "The compiler zig" in farm.refused("package", "verify", "out")


class TestPlanMemory:
    PROBLEM = "id,lower,upper,size\na,0,2,4\nb,1,3,4\nc,2,4,4\n"

    @pytest.fixture
    def problem(self, farm: Command) -> None:
        (farm.folder / "problem.csv").write_text(self.PROBLEM)

    def test_of_a_problem(self, farm, problem):
        ended = farm("plan", "memory", "problem.csv", "-o", "s.csv", "--figure", "s.svg", "--json")
        assert ended.code == 0, ended.err
        found = json.loads(ended.out)
        seconds = found.pop("seconds")
        assert 0 <= seconds < 5
        assert found == {
            "buffers": 3,
            "height": 8,
            "lower_bound": 8,
            "status": "optimal",
            "capacity": None,
            "binding": "",
        }
        rows = list(csv.DictReader((farm.folder / "s.csv").open()))
        assert [row["id"] for row in rows] == ["a", "b", "c"]
        assert {row["offset"] for row in rows} == {"0", "4"}
        assert (farm.folder / "s.svg").read_text().startswith("<svg")

    def test_of_a_model_in_portions(self, farm):
        ended = farm("plan", "memory", "model.onnx", "--mode", "portions", "--json")
        assert ended.code == 0, ended.err
        found = json.loads(ended.out)
        assert found["height"] == sum(found["portions"])
        assert "buffers in" in farm("plan", "memory", "model.onnx", "--alignment", "64").out

    def test_what_does_not_fit_writes_nothing(self, farm, problem):
        ended = farm("plan", "memory", "problem.csv", "--capacity", "7", "-o", "s.csv")
        assert ended.code == 1
        assert "3 buffers do not fit: In step 1" in ended.out
        assert not (farm.folder / "s.csv").exists()

    def test_bad_input(self, farm, problem):
        (farm.folder / "bad.csv").write_text("id,lower,upper,size\na,2,2,4\n")
        assert "row 2" in farm.refused("plan", "memory", "bad.csv")
        plan = ("plan", "memory", "problem.csv")
        assert "row 2" in farm.refused(*plan, "--capacity", "3")
        assert "--mode takes one of arena, portions" in farm.refused(*plan, "--mode", "stack")
        assert "--shape is for models" in farm.refused(*plan, "--shape", "n=1")


@pytest.mark.slow
def test_a_dsp_is_tuned_and_its_package_verifies(farm: Command, emulator: str) -> None:
    tune = ("tune", "model.onnx", "--data", "data.npz", "--devices", "dsp", "--local")
    ended = farm(
        *tune, "--trials", "3", "--output", "tuned", "--max-accuracy-drop", "0.5", "--json"
    )
    assert ended.code == 0, ended.err
    run = json.loads(ended.out)
    (dsp,) = run["devices"]
    assert (dsp["status"], dsp["verdict"]) == ("tuned", "improved")
    winner = dsp["winner"]
    assert winner["packets"]["method"] == "emulated"
    assert winner["latency"]["method"] == "modelled"
    assert winner["energy"]["method"] == "modelled"
    assert winner["arena"]["method"] == winner["peak_memory"]["method"] == "planned"
    assert dsp["ratio"]["ci"] == [dsp["ratio"]["estimate"]] * 2, "nothing is uncertain"
    manifest = json.loads((farm.folder / "tuned/dsp/manifest.json").read_text())
    assert manifest["packets"] == winner["packets"]["value"]
    assert manifest["accuracy"]["value"] == dsp["accuracy"]["winner"]
    assert (farm.folder / "tuned/dsp/provenance.json").is_file()
    assert farm("package", "verify", "tuned/dsp").code == 0
    resumed = farm("tune", "--resume", run["run"], "--local")
    assert "packets (emulated), arena and scratch" in resumed.out
    assert "the package lies in" in resumed.out
