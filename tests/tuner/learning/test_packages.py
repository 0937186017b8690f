"""Packages are planned as they are compiled."""

from pathlib import Path

from farm.candidate import Candidate, CPackage, DynamicInt8, OnnxRuntimeCpu, Precision, StaticInt8
from farm.codegen import generate
from farm.model.graph import build_graph
from farm.model.model import load_model
from tests.models import conv_net, save
from tuner.learning.packages import PlannedPackages
from tuner.learning.subjects import subject_of


def test_floats_take_what_the_generated_package_says(tmp_path: Path) -> None:
    model = load_model(save(conv_net(), tmp_path))
    subject = subject_of(model, build_graph(model))
    planned = PlannedPackages(model.sha256, model.proto)
    made = generate.generate(model.proto, "net")
    expected = made.storage.arena_bytes + made.storage.scratch_bytes
    floats = planned(subject, Candidate(CPackage()))
    assert floats == expected + made.generated.weight_bytes
    integers = planned(subject, Candidate(CPackage(), Precision(quantization=StaticInt8())))
    assert integers is not None
    assert integers < floats


def test_what_is_no_package_is_not_planned(tmp_path: Path) -> None:
    model = load_model(save(conv_net(), tmp_path))
    subject = subject_of(model, build_graph(model))
    planned = PlannedPackages(model.sha256, model.proto)
    assert planned(subject, Candidate(OnnxRuntimeCpu())) is None
    assert planned(subject, Candidate(CPackage(), Precision(quantization=DynamicInt8()))) is None
    assert PlannedPackages("another", model.proto)(subject, Candidate(CPackage())) is None
