"""Candidates compiled into artifacts: what comes out, what is refused, what is shared."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import onnx
import pytest
from onnx.helper import make_node
from onnx.numpy_helper import from_array, to_array

from farm.artifact.compiler import Compiler, compile_candidate, quantizable_operators
from farm.artifact.folder import read_manifest
from farm.artifact.key import artifact_key
from farm.candidate import (
    CalibrationMethod,
    Candidate,
    CPackage,
    CPackageEmulated,
    DynamicInt8,
    FloatType,
    GivenFormat,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVino,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
)
from farm.codegen.build.compilers import Target, host_targets
from farm.errors import CompileError
from tests import models
from tests.farm.compile import graphs


def candidate(quantization=None, float_type=FloatType.FLOAT32, **engine):
    return Candidate(OnnxRuntimeCpu(**engine), Precision(float_type, quantization))


def compiled(model, chosen):
    return Compiler(model, graphs.feeds(model)).graph(chosen)


STATIC = candidate(StaticInt8())
FLOAT16 = candidate(float_type=FloatType.FLOAT16)
SAVED = candidate(saved_graph=True)
# Integer sums saturate on processors without VNNI.
NEAR = 0.05 if Target.AVX512_VNNI in host_targets() else 0.1
CHANGING = {
    "static per channel": STATIC,
    "static per tensor": candidate(StaticInt8(per_channel=False)),
    "entropy": candidate(StaticInt8(calibration=CalibrationMethod.ENTROPY)),
    "percentile": candidate(StaticInt8(calibration=CalibrationMethod.PERCENTILE)),
    "dynamic": candidate(DynamicInt8()),
    "dynamic with conv": candidate(DynamicInt8(per_channel=True, convolutions=True)),
    "float16": FLOAT16,
    "saved": SAVED,
    "saved basic": candidate(saved_graph=True, graph_level=GraphLevel.BASIC),
    "saved int8": candidate(StaticInt8(), saved_graph=True),
}


@pytest.mark.parametrize("chosen", CHANGING.values(), ids=CHANGING)
@pytest.mark.parametrize("opset", [9, 17])
def test_an_artifact_computes_nearly_the_same(chosen, opset, tmp_path):
    model = graphs.residual_net(opset=opset, ir_version=4)
    samples = graphs.feeds(model)
    manifest = compile_candidate(model, chosen, samples, tmp_path)
    content = (tmp_path / "model.onnx").read_bytes()
    assert manifest.sha256 == sha256(content).hexdigest()
    assert manifest.size == len(content)
    assert manifest.passes
    result = graphs.run(onnx.load_from_string(content), samples[0])
    assert graphs.error(graphs.run(model, samples[0]), result) < NEAR
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize(
    "name", [name for name in CHANGING if not name.startswith("saved")] + ["float"]
)
def test_artifacts_are_the_same_every_time(name):
    chosen = CHANGING.get(name, candidate())
    model = graphs.residual_net()
    first, second = (compiled(model, chosen).model for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(
        deterministic=True
    )


def test_float_candidates_are_the_users_model():
    model = graphs.residual_net()
    for chosen in (
        candidate(),
        candidate(threads=2, graph_level=GraphLevel.NONE),
        Candidate(OpenVino(), Precision(FloatType.BFLOAT16)),
    ):
        done = compiled(model, chosen)
        assert done.model == model
        assert done.passes == ()


def test_outputs_may_have_no_shape():
    model = graphs.residual_net()
    model.graph.output[0].type.tensor_type.ClearField("shape")
    done = compiled(model, STATIC)
    assert "quantize-static" in done.passes


def test_the_record_lies_beside_the_model(tmp_path):
    model = models.mlp()
    compile_candidate(model, STATIC, graphs.feeds(model), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact.json", "model.onnx"]
    record = json.loads((tmp_path / "artifact.json").read_text())
    assert record["passes"] == ["quantize-static"]
    assert "2 of 2 operators quantised (static-int8)." in record["notes"]


def test_static_int8_has_u8_activations_and_s8_weights():
    model = compiled(graphs.residual_net(), STATIC).model
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    dequantised = {n.output[0]: n for n in model.graph.node if n.op_type == "DequantizeLinear"}
    for node in model.graph.node:
        if node.op_type in {"Conv", "Gemm"}:
            data, weight = (dequantised[name] for name in node.input[:2])
            assert stored[data.input[2]].data_type == onnx.TensorProto.UINT8
            assert stored[weight.input[0]].data_type == onnx.TensorProto.INT8


def test_what_follows_quantised_operators_is_quantised():
    model = compiled(graphs.residual_net(), STATIC).model
    makers = {name: node for node in model.graph.node for name in node.output}
    join = next(node for node in model.graph.node if node.name == "join")
    assert [makers[name].op_type for name in join.input] == ["DequantizeLinear"] * 2


def test_operators_named_to_stay_in_float_do():
    choice = StaticInt8(keep_float=("body",))
    model = compiled(graphs.residual_net(), candidate(choice)).model
    body = next(node for node in model.graph.node if node.name == "body")
    assert "w2" in body.input
    join = next(node for node in model.graph.node if node.name == "join")
    assert "c2" in join.input, "an operator after a float one was quantised"


def test_dynamic_int8_and_int4_split_matrix_products_from_their_bias():
    dynamic = compiled(graphs.residual_net(), candidate(DynamicInt8())).model
    assert "MatMulInteger" in graphs.types(dynamic)
    model = models.mlp()
    int4 = compiled(model, candidate(WeightOnlyInt4(block_size=16))).model
    assert [n.op_type for n in int4.graph.node].count("MatMulNBits") == 2
    sample = graphs.feeds(model, 1)[0]
    assert graphs.error(graphs.run(model, sample), graphs.run(int4, sample)) < 0.2


def test_int4_keeps_named_operators():
    choice = WeightOnlyInt4(keep_float=("second",))
    int4 = compiled(models.mlp(), candidate(choice)).model
    assert [n.op_type for n in int4.graph.node].count("MatMulNBits") == 1
    assert "second" in graphs.names(int4)


def test_quantizable_operators_have_names_types_and_macs():
    model = graphs.residual_net(opset=9, ir_version=4)
    static = quantizable_operators(model, StaticInt8())
    assert [(op.name, op.op_type, op.macs) for op in static] == [
        ("stem", "Conv", 8 * 8 * 8 * 27),
        ("body", "Conv", 8 * 8 * 8 * 72),
        ("head", "Gemm", 32),
    ]
    assert [op.name for op in quantizable_operators(model, WeightOnlyInt4())] == ["head"]
    assert len(quantizable_operators(model, DynamicInt8(convolutions=True))) == 3


def elementwise():
    node = make_node("Relu", ["x"], ["y"], name="relu")
    return models.build([node], [models.value("x", [4])], [models.value("y", [4])], {})


def quantised():
    return compiled(graphs.residual_net(), STATIC).model


@pytest.mark.parametrize(
    ("model", "chosen", "message"),
    [
        (elementwise(), STATIC, "The model has no operator that static-int8 applies to."),
        (
            elementwise(),
            candidate(WeightOnlyInt4()),
            "The model has no operator that weight-only-int4 applies to.",
        ),
        (
            models.mlp(),
            candidate(StaticInt8(keep_float=("first", "second"))),
            (
                "The model has no operator that static-int8 applies to beside the 2 that are kept "
                "in float."
            ),
        ),
        (
            models.mlp(),
            candidate(DynamicInt8(keep_float=("third", "zero"))),
            (
                "Cannot keep 'third', 'zero' in float: dynamic-int8 applies to no operator of "
                "that name. It applies to: first, second."
            ),
        ),
        (
            models.mlp(),
            candidate(float_type=FloatType.BFLOAT16),
            (
                "ONNX Runtime's CPU provider has no bfloat16 kernels for this processor; use "
                "bfloat16 with an engine of OpenVINO."
            ),
        ),
        (
            models.mlp(),
            candidate(StaticInt8(), FloatType.FLOAT16),
            (
                "float16 cannot be combined with static-int8 on the onnxruntime-cpu engine: its "
                "integer kernels read and write float32."
            ),
        ),
    ],
    ids=["static", "int4", "all kept", "unknown", "bfloat16", "float16 and int8"],
)
def test_what_cannot_be_compiled_is_one_sentence(model, chosen, message, tmp_path):
    with pytest.raises(CompileError) as caught:
        compile_candidate(model, chosen, graphs.feeds(model), tmp_path)
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir()), "a failed compilation left files behind"


def test_a_quantised_model_is_not_quantised_again():
    model = quantised()
    with pytest.raises(CompileError, match=r"quantised already \(it has QuantizeLinear\)"):
        compiled(model, STATIC)


def test_without_calibration_data_static_int8_is_refused(tmp_path):
    with pytest.raises(CompileError, match="needs calibration data"):
        compile_candidate(models.mlp(), STATIC, [], tmp_path)


def test_weights_listed_as_inputs_can_be_quantised_and_saved():
    model = graphs.generated_weights()
    sample = graphs.feeds(model, 1)[0]
    exact = graphs.run(model, sample)
    for chosen in (STATIC, SAVED, FLOAT16):
        assert graphs.error(exact, graphs.run(compiled(model, chosen).model, sample)) < 0.05


def key(chosen, calibration="data"):
    return artifact_key("model", "shapes", chosen, calibration, "versions")


def test_candidates_with_the_same_artifact_share_its_key():
    assert key(candidate(threads=1)) == key(candidate(threads=2, spinning=False))
    assert key(STATIC) == key(replace(STATIC, engine=OpenVino(threads=1)))
    openvino = Candidate(OpenVino(), Precision(FloatType.BFLOAT16))
    assert key(openvino) == key(candidate())
    assert key(candidate(), "other data") == key(candidate())
    assert key(candidate(graph_level=GraphLevel.NONE)) == key(candidate())


def test_candidates_with_other_artifacts_have_other_keys():
    different = [
        candidate(),
        *CHANGING.values(),
        candidate(StaticInt8(keep_float=("body",))),
        candidate(WeightOnlyInt4()),
        candidate(saved_graph=True, disabled_optimizers=("NchwcTransformer",)),
    ]
    assert len({key(chosen) for chosen in different}) == len(different)
    assert key(STATIC, "other data") != key(STATIC)
    assert artifact_key("model", "other", STATIC, "data", "versions") != key(STATIC)


def test_the_compiler_prepares_and_calibrates_once():
    model = graphs.residual_net()
    used = []

    class Samples(list):
        def __getitem__(self, index):
            used.append(index)
            return super().__getitem__(index)

    compiler = Compiler(model, Samples(graphs.feeds(model)))
    compiler.graph(STATIC)
    reads = len(used)
    compiler.graph(candidate(StaticInt8(per_channel=False)))
    assert reads > 0
    assert len(used) == reads, "calibration data was read again for the same ranges"
    assert compiler.prepared() is compiler.prepared()


def test_constant_activations_do_not_break_the_scale():
    model = models.mlp()
    zeros = [{"x": np.zeros((1, 32), np.float32)}]
    done = Compiler(model, zeros).graph(STATIC).model
    assert np.isfinite(graphs.run(done, zeros[0])).all()


class TestPackages:
    INT8 = Candidate(CPackageEmulated(), Precision(quantization=StaticInt8()))

    def test_a_package_is_generated_and_compiled(self, tmp_path):
        model = graphs.residual_net()
        manifest = compile_candidate(model, self.INT8, graphs.feeds(model), tmp_path)
        assert {"model.c", "model.elf", "runner", "package.json"} <= {
            path.name for path in tmp_path.iterdir()
        }
        assert read_manifest(tmp_path) == manifest
        assert manifest.passes[-1] == "generate"
        assert 1000 < manifest.size < 100_000
        assert "int8 per-channel min-max" in (tmp_path / "model.c").read_text()

    def test_sources_are_the_same_every_time(self):
        model = graphs.residual_net()
        once, again = (
            Compiler(model, graphs.feeds(model)).generation(self.INT8).generated for _ in range(2)
        )
        assert once == again

    def test_operators_stay_in_float(self):
        model = graphs.residual_net()
        compiler = Compiler(model, graphs.feeds(model))
        kept = compiler.quantizable(StaticInt8())[0].name
        choice = StaticInt8(keep_float=(kept,))
        chosen = Candidate(CPackageEmulated(), Precision(quantization=choice))
        weights = [compiler.generation(c).generated.weight_bytes for c in (self.INT8, chosen)]
        assert weights[0] < weights[1]

    @pytest.mark.parametrize(
        "precision",
        [
            Precision(FloatType.FLOAT16),
            Precision(quantization=DynamicInt8()),
            Precision(quantization=StaticInt8(per_channel=False)),
        ],
        ids=lambda precision: precision.label(),
    )
    def test_other_precisions_are_refused(self, precision, tmp_path):
        model = graphs.residual_net()
        with pytest.raises(CompileError, match=r"A package computes in float32 or in static int8"):
            compile_candidate(
                model, Candidate(CPackage(), precision), graphs.feeds(model), tmp_path
            )

    def test_a_quantised_model_keeps_its_integers(self):
        model = graphs.residual_net()
        feeds = graphs.feeds(model)
        quantised = Compiler(model, feeds).graph(STATIC).model
        with pytest.raises(CompileError, match="The model came quantised"):
            Compiler(quantised, feeds).generation(self.INT8)
        as_given = Compiler(quantised, feeds).generation(Candidate(CPackageEmulated()))
        floats = Compiler(model, feeds).generation(Candidate(CPackageEmulated()))
        assert as_given.generated.weight_bytes < floats.generated.weight_bytes / 2

    def test_keys_differ_by_target_and_compiler(self):
        def key(engine):
            chosen = Candidate(engine, Precision(quantization=StaticInt8()))
            return artifact_key("m", "s", chosen, "c", "v")

        engines = [CPackageEmulated(), CPackageEmulated(target="hexagon-v67"), CPackage()]
        keys = {key(engine) for engine in (*engines, OnnxRuntimeCpu())}
        assert len(keys) == 4
        assert key(CPackage()) == key(CPackage())

    def test_a_compiler_that_is_not_there(self, tmp_path, monkeypatch):
        monkeypatch.setattr("farm.artifact.engines.find_compilers", lambda _: ())
        model = graphs.residual_net()
        with pytest.raises(CompileError, match=r"has no compiler gcc for portable; it has none"):
            compile_candidate(
                model, Candidate(CPackage(compiler="gcc")), graphs.feeds(model), tmp_path
            )


def half_mlp(end=onnx.TensorProto.FLOAT16):
    """A model of two matrix products in float16; end: the type of its input and output."""
    model = models.mlp()
    for tensor in model.graph.initializer:
        tensor.CopyFrom(from_array(to_array(tensor).astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = end
    if end == onnx.TensorProto.FLOAT:
        first, last = model.graph.node[0], model.graph.node[-1]
        first.input[0], last.output[0] = "h", "o"
        model.graph.node.insert(0, make_node("Cast", ["x"], ["h"], "in", to=10))
        model.graph.node.append(make_node("Cast", ["o"], ["y"], "out", to=1))
    return onnx.shape_inference.infer_shapes(model)


HALF = GivenFormat.FLOAT16
WIDENED = Precision(given=HALF)


@pytest.mark.parametrize(
    "chosen",
    [
        candidate(),
        Candidate(precision=Precision.own(HALF)),
        Candidate(precision=Precision.own(HALF), engine=SAVED.engine),
        Candidate(precision=WIDENED),
        Candidate(precision=WIDENED, engine=SAVED.engine),
        Candidate(OpenVino(), WIDENED),
        Candidate(precision=replace(WIDENED, quantization=StaticInt8())),
        Candidate(precision=replace(WIDENED, quantization=DynamicInt8())),
        Candidate(precision=replace(WIDENED, quantization=WeightOnlyInt4(block_size=16))),
    ],
    ids=lambda chosen: f"{chosen.label()} given {chosen.precision.given}",
)
@pytest.mark.parametrize("end", [onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT])
def test_a_model_of_16_bit_floats(chosen, end):
    model = half_mlp(end)
    kind = np.float16 if end == onnx.TensorProto.FLOAT16 else np.float32
    feeds = [{"x": sample["x"].astype(kind)} for sample in graphs.feeds(models.mlp())]
    done = Compiler(model, feeds).graph(chosen)
    exact, result = graphs.run(model, feeds[0]), graphs.run(done.model, feeds[0])
    assert result.dtype == exact.dtype == kind
    assert graphs.error(exact, result) < 0.2
    assert ("float32-inside" in done.passes) is chosen.precision.is_widened
    halves = [t for t in done.model.graph.initializer if t.data_type == 10]
    if chosen.precision.is_widened:
        assert not halves
    elif not done.passes:
        assert len(halves) == 3, "it is the model as it was given"


def test_a_package_of_a_model_with_float32_ends():
    generation = Compiler(half_mlp(onnx.TensorProto.FLOAT), graphs.feeds(models.mlp())).generation(
        Candidate(CPackage(), replace(WIDENED, quantization=StaticInt8()))
    )
    assert generation is not None


def test_float64_is_not_converted(tmp_path):
    chosen = Candidate(precision=Precision(given=GivenFormat.FLOAT64))
    with pytest.raises(CompileError, match="A model of float64 is not converted to float32"):
        compile_candidate(models.mlp(), chosen, [], tmp_path)
    with pytest.raises(CompileError, match="A model of float32 is not converted to float64"):
        compile_candidate(models.mlp(), candidate(float_type=FloatType.FLOAT64), [], tmp_path)
