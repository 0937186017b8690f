"""`farm package`, `farm package verify`, `farm plan memory`, and `farm tune` on a DSP."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from farm.codegen.build.compilers import Target, default_compiler, host_targets
from farm.codegen.lower.floats import operators as float_operators
from tests.models import build, cache_net, conv_net, custom_net, rnn_net, save, value
from tests.tools.command import Command

ZIG = default_compiler(Target.HEXAGON_HVX).label
EXPORT = "export the model with float32 inputs and outputs"
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


def disagreements(farm: Command) -> list[str]:
    """What `farm package verify` finds wrong with the package in the current folder."""
    ended = farm("package", "verify", "out", "--json")
    assert ended.code == 1, ended
    found: list[str] = json.loads(ended.out)["disagreements"]
    return found


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

    def test_for_the_host_in_float_with_a_name_of_its_own(self, farm):
        make = ("package", "model.onnx", "--device", "cpu", "-o", "out", "--name", "kws")
        ended = farm(*make, "--precision", "float32")
        assert ended.code == 0, ended.err
        assert "float32" in ended.out
        assert str(host_targets()[0]) in ended.out
        package = farm.folder / "out"
        assert json.loads((package / "manifest.json").read_text())["name"] == "kws"
        assert (
            "kws_run(memory, input_image, output_scores);" in (package / "README.md").read_text()
        )
        sources = "".join(path.read_text() for path in package.glob("*.[ch]"))
        assert "#define KWS_MEMORY_BYTES" in sources
        assert "model_" not in sources
        assert "MODEL_" not in sources
        assert farm("package", "verify", "out").code == 0

    def test_without_data_it_says_so(self, farm):
        ended = farm(*MAKE)
        assert ended.code == 0, ended.err
        assert "Calibrated on made-up inputs" in ended.out
        assert json.loads((farm.folder / "out" / "manifest.json").read_text())["accuracy"] is None

    def test_an_operator_stays_in_float_and_the_metric_is_the_users(self, farm, package):
        before = json.loads((package / "manifest.json").read_text())
        (farm.folder / "mine.py").write_text("def half(outputs, labels):\n    return 0.5\n")
        options = ("--keep-float", "Conv_0", "--metric", "mine:half", "--force", "--json")
        ended = farm(*MAKE, "--data", "data.npz", *options)
        assert ended.code == 0, ended.err
        after = json.loads(ended.out)
        assert after["precision"] == "int8 per-channel min-max (1 float)"
        assert after["weight_bytes"] > before["weight_bytes"]
        assert (after["accuracy"]["metric"], after["accuracy"]["value"]) == ("mine:half", 0.5)

    def test_an_output_folder_that_exists_is_refused(self, farm, package):
        before = contents(package)
        assert "exists already; give --force" in farm.refused(*MAKE)
        assert contents(package) == before
        assert farm(*MAKE, "--force").code == 0
        (farm.folder / "mine").mkdir()
        (farm.folder / "mine" / "letter.txt").write_text("dear")
        sentence = farm.refused(*MAKE[:-1], "mine", "--force")
        assert "is no package, so it is not replaced" in sentence
        (package / "letter.txt").write_text("dear")
        assert "out holds letter.txt, which is no part of a package" in farm.refused(
            *MAKE, "--force"
        )

    def test_what_does_not_fit_says_what_binds(self, farm):
        profile = (Path(__file__).parents[2] / "farm/devices/profiles/dsp-small.toml").read_text()
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

    @pytest.mark.parametrize("precision", ["int8", "float32"])
    def test_what_cannot_fit_is_refused_before_data_is_made_up(self, farm, precision, monkeypatch):
        def none(*_: object) -> None:
            pytest.fail("data was made up")

        monkeypatch.setattr("tuner.package.synthetic_dataset", none)
        nodes = [make_node("Mul", ["x", "k"], ["a"]), make_node("Relu", ["a"], ["y"])]
        ends = [value("x", [1, 52428800])], [value("y", [1, 52428800])]
        save(build(nodes, *ends, {"k": np.float32(2)}), farm.folder, "wide.onnx")
        needed = {"int8": "50.0 MiB", "float32": "200 MiB"}[precision]
        make = ("package", "wide.onnx", "-o", "out", "--precision", precision)
        assert farm.refused(*make) == (
            "The package does not fit device dsp. Its arena and scratch memory need about "
            f"{needed}, and the device has 1.00 MiB; give --shape smaller sizes or use a smaller "
            "model."
        )

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("--device", "fake"), "Device fake runs no compiled packages here"),
            (("--name", "new"), "A package's name is a C identifier like kws, which begins with"),
            (("--compiler", "gcc"), "cannot be compiled by gcc here, only by zig"),
            (("--compiler", "tcc"), "--compiler takes one of zig, clang, gcc, got 'tcc'."),
            (("--precision", "int4"), "--precision takes one of int8, float32, got 'int4'."),
            (("--calibration", "best"), "--calibration takes one of min-max, entropy, perc"),
            (("--keep-float", "Nothing"), "Cannot keep 'Nothing' in float: there is no"),
            (("--data", "no.npz"), "There is no data file"),
            (("--metric", "mine:f"), "--metric compares outputs on real data; give --data"),
            (("--metric", "top1", "--data", "data.npz"), "must have the form module:function"),
        ],
    )
    def test_bad_options(self, farm, options, sentence):
        device = () if "--device" in options else ("--device", "dsp")
        make = ("package", "model.onnx", "-o", "out", *device)
        assert sentence in farm.refused(*make, *options)
        assert not (farm.folder / "out").exists()

    def test_a_constant_output_is_named(self, farm):
        proto = conv_net()
        proto.graph.output.append(value("b3", [4]))
        save(proto, farm.folder, "constant.onnx")
        sentence = farm.refused("package", "constant.onnx", "-o", "out")
        assert sentence.startswith("Output 'b3' of model ")
        assert "does not depend on the inputs" in sentence

    def test_operators_that_are_not_supported_are_named(self, farm):
        save(rnn_net(), farm.folder, "rnn.onnx")
        sentence = farm.refused("package", "rnn.onnx", "-o", "out")
        assert "does not support operator 'rnn' (RNN)" in sentence
        save(custom_net(), farm.folder, "custom.onnx")
        assert "acme.ops" in farm.refused("package", "custom.onnx", "-o", "out")
        assert not (farm.folder / "out").exists()

    def test_a_batch_that_was_fixed_is_told(self, farm):
        ends = [value("x", ["batch", 8])], [value("y", ["batch", 8])]
        save(build([make_node("Relu", ["x"], ["y"])], *ends, {}), farm.folder, "batched.onnx")
        farm("package", "batched.onnx", "-o", "out", "--device", "cpu")
        told = "The model's dynamic dimension is fixed: 'batch' to 1."
        assert told in json.loads((farm.folder / "out" / "manifest.json").read_text())["notes"]
        assert f"- {told}\n" in (farm.folder / "out" / "README.md").read_text()

    @pytest.mark.parametrize("supported", [True, False])
    def test_integers_are_kept_only_where_there_is_a_package(self, farm, supported):
        nodes = [
            make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
            make_node("Relu" if supported else "Det", ["d"], ["y"], name="last"),
        ]
        shape = [1, 4, 4] if supported else [1]
        stored = {"scale": np.float32(0.1), "zero": np.uint8(128)}
        model = build(nodes, [value("x", [1, 4, 4])], [value("y", shape)], stored)
        save(model, farm.folder, "qdq.onnx")
        sentence = farm.refused("package", "qdq.onnx", "-o", "out", "--precision", "int8")
        if supported:
            assert sentence.endswith(
                "qdq.onnx came quantised, and a package keeps these integers; leave out "
                "--precision."
            )
        else:
            assert "does not support operator 'last' (Det)" in sentence
            assert "integers" not in sentence

    def test_operators_without_a_fixed_size_are_named(self, farm):
        nodes = [
            make_node("NonZero", ["x"], ["i"], name="places"),
            make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT),
        ]
        save(build(nodes, [value("x", [1, 4])], [value("y", [2, "n"])], {}), farm.folder, "n.onnx")
        sentence = farm.refused("package", "n.onnx", "-o", "out")
        assert "operator 'places' (NonZero): the size of its result 'i' depends on" in sentence
        assert "--shape" not in sentence

    def test_operators_of_another_domain_alone_are_named(self, farm):
        attributes = {"scale": [2.0], "offset": [1.0], "domain": "ai.onnx.ml"}
        node = make_node("Scaler", ["x"], ["y"], name="scaler", **attributes)
        proto = build([node], [value("x", [1, 4])], [value("y", [1, 4])], {})
        proto.opset_import[0].domain, proto.opset_import[0].version = "ai.onnx.ml", 1
        save(proto, farm.folder, "ml.onnx")
        for precision in ("int8", "float32"):
            make = ("package", "ml.onnx", "-o", "out", "--precision", precision)
            assert "does not support operator 'scaler' (Scaler)" in farm.refused(*make)

    def test_input_types_are_checked_before_anything_else(self, farm):
        nodes = [
            make_node("Relu", ["x"], ["r"]),
            make_node("Clip", ["r", "lowest", "highest"], ["y"]),
        ]
        ends = value("x", [1, 8], TensorProto.DOUBLE), value("y", [1, 8], TensorProto.DOUBLE)
        limits = {"lowest": np.float64(-1), "highest": np.float64(1)}
        save(build(nodes, ends[:1], ends[1:], limits), farm.folder, "double.onnx")
        sentence = farm.refused("package", "double.onnx", "-o", "out")
        assert sentence == (
            "The code generator takes float32, int32, int64 and bool inputs, and 'x' is float64: "
            "export the model with float32 inputs and outputs."
        )

    def test_an_input_that_is_an_output_keeps_its_name(self, farm):
        node = make_node("Relu", ["state"], ["y"])
        ends = value("state", [1, 16]), value("y", [1, 16])
        save(build([node], ends[:1], ends[::-1], {}), farm.folder, "state.onnx")
        for device in ("cpu", "dsp"):
            make = ("package", "state.onnx", "--device", device, "-o", device, "--json")
            ended = farm(*make)
            assert ended.code == 0, ended.err
            names = [port["name"] for port in json.loads(ended.out)["outputs"]]
            assert names == ["y", "state"]
            header = (farm.folder / device / "model.h").read_text()
            assert "const float *input_state, float *output_y, float *output_state);" in header
            assert farm("package", "verify", device).code == 0

    @pytest.mark.parametrize("device", ["cpu", "dsp"])
    def test_not_a_number_agrees_with_its_like(self, farm, device):
        nodes = [
            make_node("Sqrt", ["x"], ["y"]),
            make_node("Div", ["x", "zero"], ["z"]),
        ]
        outputs = [value("y", [1, 16]), value("z", [1, 16])]
        proto = build(nodes, [value("x", [1, 16])], outputs, {"zero": np.zeros(1, np.float32)})
        save(proto, farm.folder, "nan.onnx")
        make = ("package", "nan.onnx", "--device", device, "-o", "out", "--precision", "float32")
        ended = farm(*make)
        assert ended.code == 0, ended.err
        assert "Warning" not in ended.err
        assert farm("package", "verify", "out").code == 0

    @pytest.mark.parametrize("batch", [0, 1])
    def test_a_cache_that_is_empty(self, farm, batch):
        save(cache_net(), farm.folder, "cache.onnx")
        sizes = ("--shape", "past_len=0", "--shape", f"batch={batch}")
        make = ("package", "cache.onnx", *sizes, "--device", "cpu", "-o", "out")
        ended = farm(*make, "--calibration", "entropy")
        assert ended.code == 0, ended.err
        assert farm("package", "verify", "out").code == 0

    @pytest.mark.usefixtures("few_blocks")
    def test_a_run_without_work_takes_time(self, farm):
        save(cache_net(), farm.folder, "cache.onnx")
        sizes = ("--shape", "past_len=0", "--shape", "batch=0")
        ended = farm("bench", "cache.onnx", *sizes, "--device", "dsp", "--json")
        assert ended.code == 0, ended.err
        assert json.loads(ended.out)["measurements"]["latency"]["value"] > 0

    def test_names_that_cannot_be_seen(self, farm):
        odd = "\r\n\x1b[31m\u202e"
        nodes = [make_node("Relu", [f"x{odd}"], [f"y{odd}"], name=f"relu{odd}")]
        proto = build(nodes, [value(f"x{odd}", [1, 16])], [value(f"y{odd}", [1, 16])], {})
        save(proto, farm.folder, "odd.onnx")
        ended = farm("package", "odd.onnx", "--device", "cpu", "-o", "out")
        assert ended.code == 0, ended.err
        assert farm("package", "verify", "out").code == 0
        for name in ("model.c", "model.h", "README.md"):
            text = (farm.folder / "out" / name).read_bytes().decode()
            assert "\r" not in text, name
            assert "\x1b" not in text, name
            assert "\u202e" not in text, name
        manifest = json.loads((farm.folder / "out" / "manifest.json").read_text())
        assert manifest["inputs"][0]["name"] == f"x{odd}", "for programs it is the true name"

    def test_a_float_package_that_does_not_compute_its_model_is_refused(self, farm, monkeypatch):
        wrong = float_operators._LOWERINGS["Tanh"]
        monkeypatch.setitem(float_operators._LOWERINGS, "Relu", wrong)  # type: ignore[index]
        make = ("package", "model.onnx", "--device", "cpu", "-o", "out", "--precision", "float32")
        ended = farm(*make)
        assert ended.code == 1
        assert ended.err.startswith("farm: Output 'scores' of the float32 package differs from")
        assert "of its range; this is a fault of the code generator" in ended.err
        assert ended.err.count("\n") == 1
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
        assert (found["agrees"], found["vectors"], found["disagreements"]) == (True, 16, [])
        assert found["notes"] == []
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
        found = disagreements(farm)
        assert found[0] == f"libmodel.a is not what {ZIG} makes of the sources"
        assert found[1] == f"model.elf is not what {ZIG} makes of the sources"
        assert found[2].startswith("output 'scores' of test vector 0: element ")

    def test_shipped_files_that_are_others_are_found(self, farm, package):
        for name in ("libmodel.a", "Makefile", "runtime/runner.c"):
            (package / name).write_text("boo\n")
        assert disagreements(farm) == [
            "Makefile is not what the farm writes",
            "runtime/runner.c is not what the farm writes",
            f"libmodel.a is not what {ZIG} makes of the sources",
        ]

    def test_a_manifest_that_tells_something_else_is_found(self, farm, package, emulator):
        told = json.loads((package / "manifest.json").read_text())
        names = ("arena_bytes", "memory_bytes", "weight_bytes", "code_bytes", "packets")
        other = {name: told[name] + 1 for name in names} | {"flags": []}
        (package / "manifest.json").write_text(json.dumps(told | other))
        found = disagreements(farm)
        assert "the manifest's flags are not those that the farm compiles with" in found
        for name in names:
            assert f"the manifest says {name} {told[name] + 1}, and it is {told[name]}" in found

    def test_without_its_compiler_the_shipped_library_is_replayed(self, farm, package, emulator):
        told = json.loads((package / "manifest.json").read_text())
        other = {"compiler": "zig 0.1.0", "farm": "0.0.1"}
        (package / "manifest.json").write_text(json.dumps(told | other))
        ended = farm("package", "verify", "out")
        assert ended.code == 0, ended.out
        assert "What built it (zig 0.1.0, farm 0.0.1) is not on this machine" in ended.out
        assert "its Makefile and runner were not compared" in ended.out

        (package / "libmodel.a").write_text("boo\n")
        assert disagreements(farm)[0] == "libmodel.a holds no code for hexagon-v67-hvx"

    def test_what_is_no_package(self, farm, package):
        (package / "test_vectors" / "requests.bin").write_bytes(b"r")
        assert "is damaged" in farm.refused("package", "verify", "out")
        (package / "test_vectors" / "requests.bin").unlink()
        sentence = farm.refused("package", "verify", "out")
        assert sentence == "out is not whole: test_vectors/requests.bin is missing."
        (package / "kernels" / "common.h").unlink()
        sentence = farm.refused("package", "verify", "out")
        assert sentence == "out is not whole: kernels/common.h is missing."
        (package / "manifest.json").write_text("{}")
        assert "is no manifest of a package" in farm.refused("package", "verify", "out")
        (package / "manifest.json").unlink()
        (package / "link").symlink_to("/dev/zero")
        assert "is no package" in farm.refused("package", "verify", "out")
        assert "is no package" in farm.refused("package", "verify", "nowhere")

    def test_what_may_have_no_end_is_refused(self, farm, package):
        for name, make in (
            ("zz.h", lambda path: path.symlink_to("/dev/zero")),
            ("f.h", os.mkfifo),
        ):
            path = package / "kernels" / name
            make(path)
            sentence = farm.refused("package", "verify", "out")
            assert (
                sentence == f"out/kernels/{name} is no regular file, and a package has no other."
            )
            path.unlink()
        os.truncate(package / "model.c", 1 << 30)
        sentence = farm.refused("package", "verify", "out")
        assert sentence.startswith("out/model.c has 1.00 GiB, and no file of a package has more")

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

    def test_one_buffer(self, farm):
        (farm.folder / "one.csv").write_text("id,lower,upper,size\na,0,2,1\n")
        plan = ("plan", "memory", "one.csv")
        assert farm(*plan).out.startswith("1 buffer in 1 byte (arena), which is")
        assert "1 buffer in 1 byte (1 portion), " in farm(*plan, "--mode", "portions").out
        assert "1 buffer does not fit: " in farm(*plan, "--alignment", "8", "--capacity", "4").out

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (("-o", "no/s.csv"), "--output no/s.csv cannot be written: no is no folder."),
            (("-o", "s.csv", "--figure", "no/s.svg"), "--figure no/s.svg cannot be written: no"),
            (("-o", "s.csv", "--figure", "./s.csv"), "--figure s.csv is --output as well; give"),
            (("-o", "problem.csv"), "--output problem.csv is the problem as well; give another."),
            (("--figure", "link.csv"), "--figure link.csv is the problem as well; give another."),
            (("-o", "."), "--output . is no file that can be replaced; give another."),
            (("-o", "/dev/null"), "--output /dev/null is no file that can be replaced; give an"),
            (("-o", "x" * 250), f"{'x' * 250} cannot be written: File name too long."),
        ],
    )
    def test_files_that_cannot_be_written(self, farm, problem, options, sentence):
        (farm.folder / "link.csv").symlink_to("problem.csv")
        assert farm.refused("plan", "memory", "problem.csv", *options).startswith(sentence)
        assert (farm.folder / "problem.csv").read_text() == self.PROBLEM
        assert not (farm.folder / "s.csv").exists()

    def test_bad_input(self, farm, problem):
        (farm.folder / "bad.csv").write_text("id,lower,upper,size\na,2,2,4\n")
        assert "row 2" in farm.refused("plan", "memory", "bad.csv")
        plan = ("plan", "memory", "problem.csv")
        assert "row 2" in farm.refused(*plan, "--capacity", "3")
        assert "'7.5' is not a whole number of bytes" in farm.refused(*plan, "--capacity", "7.5")
        assert "'1e400' is too large a size" in farm.refused(*plan, "--capacity", "1e400")
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
    assert dsp["ratio"]["ci"] is None, "nothing is uncertain"
    manifest = json.loads((farm.folder / "tuned/dsp/manifest.json").read_text())
    assert manifest["packets"] == winner["packets"]["value"]
    assert manifest["accuracy"]["value"] == dsp["accuracy"]["winner"]
    assert (farm.folder / "tuned/dsp/provenance.json").is_file()
    assert not (farm.folder / "tuned/dsp/hashes.json").exists(), "that is the cache's"
    assert farm("package", "verify", "tuned/dsp").code == 0
    resumed = farm("tune", "--resume", run["run"], "--local")
    assert "packets (emulated), arena and scratch" in resumed.out
    assert "the package lies in" in resumed.out


@pytest.mark.parametrize(
    ("element", "told"),
    [
        (
            TensorProto.FLOAT16,
            f"float16: {EXPORT} (float16 inside of it is fine).",
        ),
        (TensorProto.DOUBLE, f"float64: {EXPORT}."),
        (TensorProto.INT8, "int8."),
    ],
)
def test_types_that_packages_do_not_take(farm: Command, element: int, told: str) -> None:
    nodes = [make_node("Neg", ["x"], ["y"])]
    model = build(nodes, [value("x", [1, 8], element)], [value("y", [1, 8], element)], {})
    save(model, farm.folder)
    message = farm.refused(*MAKE)
    known = "float32, int32, int64 and bool"
    assert message == f"The code generator takes {known} inputs, and 'x' is {told}"
