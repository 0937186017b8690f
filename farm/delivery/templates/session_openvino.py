sys.modules["openvino_telemetry"] = None  # else OpenVINO sends an event when it is imported

import openvino as ov

core = ov.Core()
model = core.read_model(folder / "model.onnx")
compiled = core.compile_model(model, spec["device"], spec["config"])
request = compiled.create_infer_request()
kernels = compiled.get_runtime_model().get_ops()
ran = {str(kernel.get_rt_info()["runtimePrecision"].value) for kernel in kernels}
if spec["float_type"] not in ran or (spec["integers"] == "needed" and not ran & {"i8", "u8"}):
    sys.exit("OpenVINO does not compute on this machine as it did where this was measured.")


def run(feeds):
    for index, port in enumerate(compiled.inputs):
        array = next(feeds[name] for name in port.get_names() if name in feeds)
        contiguous = np.asarray(array, order="C")
        request.set_input_tensor(index, ov.Tensor(contiguous, shared_memory=True))
    request.infer()  # and again, for what is written into the arrays
    names = (port.any_name for port in compiled.outputs)
    return zip(names, (tensor.data for tensor in request.output_tensors))
