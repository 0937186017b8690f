sys.modules["openvino_telemetry"] = None  # else OpenVINO sends an event when it is imported

import openvino as ov

# PRECISION
core = ov.Core()
model = core.read_model(folder / "model.onnx")
compiled = core.compile_model(model, spec["device"], spec["config"])
request = compiled.create_infer_request()
wanted = (spec["float_type"], spec["integers"], quantised_in(model))
if reason := refusal(kernels_of(compiled), *wanted):
    sys.exit(f"It does not compute on this machine as it did where this was measured. {reason}")


def run(feeds):
    for index, port in enumerate(compiled.inputs):
        array = next(feeds[name] for name in port.get_names() if name in feeds)
        contiguous = np.asarray(array, order="C")
        request.set_input_tensor(index, ov.Tensor(contiguous, shared_memory=True))
    request.infer()  # and again, for what is written into the arrays
    names = (port.any_name for port in compiled.outputs)
    return zip(names, (tensor.data for tensor in request.output_tensors))
