"""Candidates: one canonical text, an id made of it, and clear refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.candidate import (
    CHIPS,
    CalibrationMethod,
    Candidate,
    CPackage,
    CPackageEmulated,
    DynamicInt8,
    Fake,
    FloatType,
    GivenFormat,
    GraphLevel,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeQnn,
    OnnxRuntimeTensorRt,
    OnnxRuntimeWebGpu,
    OpenVino,
    OpenVinoGpu,
    OpenVinoRuntime,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
    from_json,
    read_candidate,
    to_json,
)
from farm.errors import CandidateError

ASSETS = Path(__file__).parent / "assets"
ENGINE_KINDS = {"onnxruntime-cpu", "openvino", "cpackage", "cpackage-emulated", "fake"}
quick = settings(max_examples=100, deadline=None, derandomize=True)

names = st.lists(st.text("abc/_.1", min_size=1, max_size=6), max_size=3).map(tuple)
quantizations = st.one_of(
    st.none(),
    st.builds(StaticInt8, keep_float=names),
    st.builds(DynamicInt8, keep_float=names),
    st.builds(WeightOnlyInt4, keep_float=names),
)
candidates = st.builds(
    Candidate,
    st.one_of(
        st.builds(OnnxRuntimeCpu, threads=st.integers(0, 64), disabled_optimizers=names),
        st.builds(OpenVino, threads=st.integers(0, 64)),
        st.builds(OnnxRuntimeWebGpu, cpu_operators=st.booleans()),
        st.builds(OpenVinoGpu, streams=st.integers(0, 8)),
        st.builds(OnnxRuntimeQnn, chip=st.sampled_from(CHIPS)),
        st.builds(Fake, seconds=st.floats(1e-6, 1.0)),
    ),
    st.builds(Precision, st.sampled_from(FloatType), quantizations, st.sampled_from(GivenFormat)),
)


class TestText:
    @quick
    @given(candidates)
    def test_is_read_back_as_the_same_candidate(self, candidate):
        text = to_json(candidate)
        assert from_json(text) == candidate
        assert to_json(from_json(text)) == text

    @quick
    @given(candidates, candidates)
    def test_differs_exactly_where_candidates_differ(self, one, other):
        assert (one.id == other.id) == (one == other)

    def test_is_canonical(self):
        text = to_json(Candidate())
        assert " " not in text
        assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))

    def test_fields_that_are_left_out_have_their_defaults(self):
        assert from_json("{}") == Candidate()
        assert from_json('{"engine": {"kind": "openvino"}}') == Candidate(OpenVino())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "file.json is not a candidate: at the top level: Invalid JSON"),
        ("[]", "file.json is not a candidate: at the top level: "),
        (
            '{"engine": {"kind": "warp"}}',
            "at engine: unknown kind 'warp'; known are 'onnxruntime-cpu', ",
        ),
        ('{"engine": {"kind": "openvino", "speed": 1}}', "at engine.openvino.speed: Unexpected"),
        ('{"precision": {"float_type": "float8"}}', "at precision.float_type: Input should be"),
        ('{"engine": {"threads": "many", "kind": "openvino"}}', "at engine.openvino.threads: "),
    ],
)
def test_what_is_no_candidate_says_where(text, message):
    with pytest.raises(CandidateError) as caught:
        from_json(text, "file.json")
    assert message in str(caught.value)
    assert "`farm results --format json` shows candidates" in str(caught.value)


class TestPackages:
    INT8 = Precision(quantization=StaticInt8())

    def test_labels(self):
        host = Candidate(CPackage(target="avx512-vnni", compiler="gcc"), self.INT8)
        assert host.label() == "cpackage avx512-vnni gcc int8 per-channel min-max"
        hexagon = Candidate(CPackageEmulated(target="hexagon-v67"))
        assert hexagon.label() == "cpackage hexagon-v67 float32"

    def test_only_the_emulated_ones_are_counted(self):
        assert Candidate(CPackageEmulated()).is_counted
        assert not Candidate(CPackage()).is_counted
        assert not Candidate().is_counted

    def test_text_and_back(self):
        for candidate in (
            Candidate(CPackage(compiler="clang"), self.INT8),
            Candidate(CPackageEmulated()),
        ):
            assert from_json(to_json(candidate)) == candidate

    def test_a_compiler_that_is_none(self):
        with pytest.raises(CandidateError, match=r"at engine\.cpackage\.compiler: Input"):
            from_json('{"engine": {"kind": "cpackage", "compiler": "tcc"}}')


class TestPipelines:
    DSP = PipelinePart("dsp", CPackageEmulated(), ("first", "bias"))
    CPU = PipelinePart("cpu", OnnxRuntimeCpu(), ("relu",))

    def test_text_and_back(self):
        for overlapped in (False, True):
            candidate = Candidate(Pipeline((self.DSP, self.CPU), overlapped=overlapped))
            assert from_json(to_json(candidate)) == candidate

    def test_options_that_were_added_are_left_out_of_parts_as_elsewhere(self):
        text = to_json(Candidate(Pipeline((self.CPU,))))
        assert '"threads":0' in text
        assert '"pinning"' not in text
        pinned = PipelinePart("cpu", OnnxRuntimeCpu(threads=2, pinning=True), ("relu",))
        assert '"pinning":true' in to_json(Candidate(Pipeline((pinned,))))

    def test_labels(self):
        candidate = Candidate(Pipeline((self.DSP, self.CPU)))
        label = "pipeline dsp/cpackage-emulated 2 + cpu/onnxruntime-cpu 1 float32"
        assert candidate.label() == label
        threads = PipelinePart("cpu", OpenVinoRuntime(threads=1, pinning=False), ("relu",))
        host = PipelinePart("cpu", CPackage(target="avx2"), ("first", "bias"))
        assert Pipeline((host, threads), overlapped=True).label() == (
            "pipeline cpu/cpackage 2 (avx2 zig) + cpu/openvino-runtime 1 (1 thread not pinned) "
            "overlapped"
        )

    def test_of_emulated_parts_are_modelled_and_not_counted(self):
        mixed, measured = (Candidate(Pipeline(p)) for p in ((self.DSP, self.CPU), (self.CPU,)))
        assert (mixed.is_modelled, mixed.is_counted) == (True, False)
        assert (measured.is_modelled, measured.is_counted) == (False, False)
        assert Candidate(CPackageEmulated()).is_modelled

    def test_that_are_overlapped_have_several_samples_under_way(self):
        one, three = (
            Candidate(Pipeline((self.CPU, self.CPU), overlapped=overlapped))
            for overlapped in (False, True)
        )
        assert (one.in_flight, three.in_flight) == (1, 3)
        assert one.results_per_second(0.5) == 2.0
        assert three.results_per_second(0.5) == 6.0

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            ("[]", "at engine.pipeline.parts: Tuple should have at least 1 item"),
            (
                '[{"device": "cpu", "engine": {"kind": "fake"}, "operators": ["a"]}]',
                "at engine.pipeline.parts.0.engine: unknown kind 'fake'; known are",
            ),
            (
                '[{"device": "cpu", "engine": {"kind": "cpackage"}, "operators": []}]',
                "at engine.pipeline.parts.0.operators: Tuple should have at least 1 item",
            ),
        ],
    )
    def test_that_are_none_say_where(self, parts, message):
        with pytest.raises(CandidateError) as caught:
            from_json(f'{{"engine": {{"kind": "pipeline", "parts": {parts}}}}}')
        assert message in str(caught.value)


def test_ids_of_the_first_release_stay_the_same():
    """All kinds of engines and precisions, as it wrote them."""
    lines = (ASSETS / "candidates_0_1_0.txt").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line[13:])["engine"]["kind"] for line in lines} == ENGINE_KINDS
    for line in lines:
        known, text = line.split(" ", 1)
        candidate = from_json(text)
        assert (candidate.id, to_json(candidate)) == (known, text)


def test_a_choice_that_was_added_is_written_only_where_it_is_made():
    assert "given" not in to_json(Candidate())
    half = Candidate(precision=Precision.own(GivenFormat.FLOAT16))
    assert '"given":"float16"' in to_json(half)
    assert half.id != Candidate(precision=Precision(FloatType.FLOAT16)).id
    int8, products = (
        Candidate(precision=Precision(quantization=StaticInt8(products=p))) for p in (False, True)
    )
    assert "products" not in to_json(int8)
    assert '"products":true' in to_json(products)
    assert from_json(to_json(products)) == products


def test_a_correction_is_part_of_the_id_where_it_is_made():
    plain, corrected = (
        Candidate(precision=Precision(quantization=StaticInt8(bias_correction=made)))
        for made in (False, True)
    )
    assert "bias_correction" not in to_json(plain)
    assert from_json(to_json(corrected)) == corrected
    assert corrected.label().endswith("int8 per-channel min-max corrected")
    assert plain.id != corrected.id


def test_options_that_were_added_are_read_and_written():
    text = '{"engine":{"kind":"onnxruntime-cpu","spin_microseconds":20,"memory_arena":false}}'
    engine = from_json(text).engine
    assert engine == OnnxRuntimeCpu(spin_microseconds=20, memory_arena=False)
    assert '"spin_microseconds":20' in to_json(Candidate(engine))
    assert '"pinning"' not in to_json(Candidate(engine))
    with pytest.raises(CandidateError, match=r"at engine\.onnxruntime-cpu\.spin_microseconds"):
        from_json('{"engine": {"kind": "onnxruntime-cpu", "spin_microseconds": -1}}')


def test_ids_that_stores_hold_stay_the_same():
    entropy = StaticInt8(calibration=CalibrationMethod.ENTROPY, keep_float=("a",))
    candidates = (
        Candidate(),
        Candidate(OpenVino(threads=2), Precision(FloatType.BFLOAT16)),
        Candidate(OnnxRuntimeCpu(threads=1), Precision(quantization=entropy), rewritten=True),
    )
    assert [c.id for c in candidates] == ["317c6e9147c4", "a0b8e84f7e2b", "2faaaf3afbe6"]


class TestFile:
    def test_is_read(self, tmp_path):
        path = tmp_path / "candidate.json"
        path.write_text(to_json(Candidate(OpenVino())))
        assert read_candidate(path) == Candidate(OpenVino())

    def test_that_is_not_there(self, tmp_path):
        with pytest.raises(
            CandidateError,
            match=r"Cannot read candidate file .*json: No such file or directory\.$",
        ):
            read_candidate(tmp_path / "nowhere.json")

    def test_that_is_not_text(self, tmp_path):
        path = tmp_path / "candidate.json"
        path.write_bytes(b"\xff\xfe")
        with pytest.raises(CandidateError, match=r"json: it is not text in UTF-8\.$"):
            read_candidate(path)

    def test_with_a_batch_that_is_too_large(self, tmp_path):
        path = tmp_path / "candidate.json"
        path.write_text('{"batch": 1000000000}')
        with pytest.raises(CandidateError, match=r"at batch: .* less than or equal to 4096"):
            read_candidate(path)


@pytest.mark.parametrize(
    ("candidate", "label"),
    [
        (Candidate(), "onnxruntime-cpu float32"),
        (
            Candidate(
                OnnxRuntimeCpu(
                    threads=1,
                    spinning=False,
                    memory_pattern=False,
                    graph_level=GraphLevel.BASIC,
                    saved_graph=True,
                    disabled_optimizers=("ConvAddFusion",),
                )
            ),
            "onnxruntime-cpu 1 thread no-spin no-pattern graph=basic saved -ConvAddFusion float32",
        ),
        (
            Candidate(
                OnnxRuntimeCpu(
                    threads=4,
                    spin_microseconds=20,
                    pinning=True,
                    memory_arena=False,
                    denormals_as_zero=True,
                )
            ),
            "onnxruntime-cpu 4 threads spin=20us pinned no-arena denormals=0 float32",
        ),
        (
            Candidate(
                OpenVino(threads=2, pinning=True, cpu_operators=True),
                Precision(FloatType.BFLOAT16),
            ),
            "openvino + onnxruntime-cpu 2 threads pinned bfloat16",
        ),
        (
            Candidate(precision=Precision(quantization=StaticInt8(keep_float=("a", "b")))),
            "onnxruntime-cpu int8 per-channel min-max (2 float)",
        ),
        (
            Candidate(
                precision=Precision(
                    FloatType.BFLOAT16, DynamicInt8(per_channel=True, convolutions=True)
                )
            ),
            "onnxruntime-cpu dynamic int8 per-channel with conv + bfloat16",
        ),
        (
            Candidate(
                precision=Precision(quantization=WeightOnlyInt4(block_size=64, accuracy_level=4))
            ),
            "onnxruntime-cpu int4 weights /64 int8 arithmetic",
        ),
        (Candidate(OnnxRuntimeCuda()), "onnxruntime-cuda float32"),
        (
            Candidate(
                OnnxRuntimeCuda(
                    layout="nhwc",
                    cuda_graph=True,
                    tf32=True,
                    arena="as-requested",
                    cpu_operators=True,
                ),
                Precision(FloatType.FLOAT16),
            ),
            "onnxruntime-cuda + onnxruntime-cpu nhwc arena=as-requested cuda-graph tf32 float16",
        ),
        (
            Candidate(OnnxRuntimeTensorRt(builder_level=5, cuda_operators=True)),
            "onnxruntime-tensorrt + onnxruntime-cuda level=5 float32",
        ),
        (Candidate(OnnxRuntimeWebGpu()), "onnxruntime-webgpu float32"),
        (
            Candidate(
                OnnxRuntimeWebGpu(layout="nchw", cpu_operators=True), Precision(FloatType.FLOAT16)
            ),
            "onnxruntime-webgpu + onnxruntime-cpu nchw float16",
        ),
        (
            Candidate(OnnxRuntimeQnn(chip="SM8550"), Precision(FloatType.FLOAT16, StaticInt8())),
            "onnxruntime-qnn SM8550 int8 per-channel min-max + float16",
        ),
        (Candidate(Fake(seconds=0.5)), "fake 0.5 s float32"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_labels_name_what_differs_from_the_defaults(candidate, label):
    assert candidate.label() == label


def test_what_an_emulator_runs_that_counts_nothing_has_no_latency():
    assert Candidate(OnnxRuntimeQnn()).is_untimed
    assert not Candidate(CPackageEmulated()).is_untimed
    assert not Candidate().is_untimed


def test_a_chip_that_is_not_known():
    text = '{"engine": {"kind": "onnxruntime-qnn", "chip": "SM8150"}}'
    with pytest.raises(CandidateError, match=r"at engine\.onnxruntime-qnn\.chip: Input should be"):
        from_json(text)


def test_other_arithmetic():
    candidate = Candidate(precision=Precision(quantization=StaticInt8()))
    changed = candidate.with_float(FloatType.FLOAT16)
    assert changed.precision == Precision(FloatType.FLOAT16, StaticInt8())
    assert changed.engine == candidate.engine


@pytest.mark.parametrize(
    ("precision", "label", "keeps"),
    [
        (Precision(), "float32", True),
        (Precision(FloatType.BFLOAT16), "bfloat16", False),
        (Precision(FloatType.FLOAT16), "float16", False),
        (Precision(quantization=StaticInt8()), "int8 per-channel min-max", False),
        (
            Precision(FloatType.BFLOAT16, StaticInt8(keep_float=("a",), products=True)),
            "int8 per-channel min-max products + bfloat16 (1 float)",
            False,
        ),
        (Precision.own(GivenFormat.FLOAT16), "float16", True),
        (Precision.own(GivenFormat.BFLOAT16), "bfloat16", True),
        (Precision.own(GivenFormat.FLOAT64), "float64", True),
        (Precision.own(GivenFormat.QUANTISED), "quantised as given", True),
        (Precision(given=GivenFormat.FLOAT16), "float32 inside", True),
        (Precision(given=GivenFormat.BFLOAT16), "float32 inside", True),
        (Precision(given=GivenFormat.FLOAT64), "float32", False),
        (Precision(FloatType.BFLOAT16, given=GivenFormat.FLOAT16), "bfloat16", False),
        (
            Precision(FloatType.BFLOAT16, given=GivenFormat.QUANTISED),
            "quantised as given + bfloat16",
            False,
        ),
        (
            Precision(quantization=StaticInt8(), given=GivenFormat.FLOAT16),
            "int8 per-channel min-max",
            False,
        ),
    ],
    ids=str,
)
def test_the_models_own_formats(precision, label, keeps):
    assert precision.label() == label
    assert precision.keeps_precision is keeps
    candidate = Candidate(OnnxRuntimeCpu(threads=1), precision, rewritten=True)
    assert candidate.keeps_precision is keeps, "neither an engine's option nor its graph"


def test_tf32_rounds_what_the_model_does_not():
    """So that where accuracy cannot be judged it does not win."""
    for engine in (OnnxRuntimeCuda(), OnnxRuntimeTensorRt()):
        assert Candidate(engine).keeps_precision
        assert not Candidate(replace(engine, tf32=True)).keeps_precision
