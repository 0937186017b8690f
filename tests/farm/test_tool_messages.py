"""Messages of C++ tools, as they came and as they are told."""

import pytest

from farm.tool_messages import without_sources

ORT = "/onnxruntime_src/onnxruntime/core"


CLIP = (
    "[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: "
    f"{ORT}/optimizer/relu_clip_fusion.cc:83 virtual onnxruntime::common::Status "
    "onnxruntime::FuseReluClip::Apply(onnxruntime::Graph&, onnxruntime::Node&, "
    "onnxruntime::RewriteRule::RewriteRuleEffect&, const onnxruntime::logging::Logger&) "
    "const Unexpected data type for Clip 'min' input of 11\n"
)
RUNNING = "Non-zero status code returned while running Reshape node. Name:'' Status Message: "
RESHAPE = (
    f"{RUNNING}{ORT}/providers/cpu/tensor/reshape_helper.h:91 "
    "onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, "
    "onnxruntime::TensorShapeVector&, bool) input_shape_size == size was false. "
    "Input shape:{2,3}, requested shape:{5}\n"
)
LAMBDA = (
    f"{ORT}/a.cc:5 onnxruntime::f(std::function<void(int)>)::<lambda(const x&)> "
    "[with T = float] Missing Input: x"
)

ADAPTER = (
    f"{ORT}/providers/webgpu/webgpu_context.cc:65 onnxruntime::webgpu::WebGpuContext::Initialize("
    "const onnxruntime::webgpu::WebGpuContextConfig&)::<lambda()>::<lambda("
    "wgpu::RequestAdapterStatus, wgpu::Adapter, wgpu::StringView, wgpu::Adapter*)> status == "
    "wgpu::RequestAdapterStatus::Success was false. "
    "Failed to get a WebGPU adapter: No supported adapters\n"
)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (CLIP, "Exception during initialization: Unexpected data type for Clip 'min' input of 11"),
        (
            RESHAPE,
            RUNNING + "Input shape:{2,3}, requested shape:{5}",
        ),
        (LAMBDA, "Missing Input: x"),
        (ADAPTER, "Failed to get a WebGPU adapter: No supported adapters"),
        (f"{ORT}/a.cc:5 void f(int) x.size() == 1.5 was false. ", "x.size() == 1.5 was false."),
        (
            f"{ORT}/session.cc:77 void onnxruntime::operator()(int) const Failed to load (twice)",
            "Failed to load (twice)",
        ),
        ("matmul_helper.h:59 Compute MatMul dimension mismatch", "MatMul dimension mismatch"),
        (f"{ORT}/node.cc:12 No kernel (of float16)", "No kernel (of float16)"),
        ("Exception from src/inference/core.cpp:84:\nno such operator", "no such operator"),
        ("a.cc:1 ", "a.cc:1"),
        ("Load model from /tmp/m.onnx failed", "Load model from /tmp/m.onnx failed"),
        (f"{ORT}/cut.cc:1 void f(int, const U", ""),
    ],
)
def test_places_and_signatures_are_left_out(raw, told):
    assert without_sources(raw) == told
