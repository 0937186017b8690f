sys.modules["openvino_telemetry"] = None  # else OpenVINO sends an event when it is imported

import openvino as ov

# PRECISION
core = ov.Core()
device, there = spec["device"], core.available_devices  # with several GPUs the first is GPU.0
if not {device, f"{device}.0"} & set(there):
    sys.exit(f"It was measured on OpenVINO's {device}, and here there is {', '.join(there)}.")
model = core.read_model(folder / "model.onnx")
compiled = core.compile_model(model, device, spec["config"])
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
