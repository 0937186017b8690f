import importlib
import importlib.util
import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported
os.environ.update(spec.get("variables", {}))

import onnxruntime as ort

# MESSAGES
on_cpu, provider = spec.get("on_cpu", ()), spec["provider"]
arguments = {"disabled_optimizers": spec["disabled_optimizers"], "enable_fallback": False}
devices = []
if spec["plugin"]:
    if importlib.util.find_spec(spec["plugin"]) is None:
        package = spec["plugin"].replace("_", "-")
        sys.exit(
            f"It was measured with the Python package {package}, which is not installed here."
        )
    plugin = importlib.import_module(spec["plugin"])
    ort.register_execution_provider_library(provider, plugin.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == provider]
elif provider not in ort.get_available_providers():
    found = ", ".join(ort.get_available_providers())
    package = "onnxruntime-webgpu" if provider.startswith("WebGpu") else "onnxruntime-gpu"
    told = f"It was measured on {provider}, and this ONNX Runtime has {found}."
    sys.exit(f"{told} Run it with a Python that has {package} in place of onnxruntime.")
else:
    beside = spec.get("beside", {}).items()
    arguments["providers"] = [(provider, spec["provider_options"]), *beside]
if spec.get("memory"):  # libraries of CUDA and TensorRT are in Python packages of their own
    ort.preload_dlls(directory="")
    if provider.startswith("Tensorrt") and importlib.util.find_spec("tensorrt_libs"):
        importlib.import_module("tensorrt_libs")


def session_with(entries):
    options = ort.SessionOptions()
    options.intra_op_num_threads = spec["intra_op_num_threads"]
    options.enable_mem_pattern = spec["enable_mem_pattern"]
    options.enable_cpu_mem_arena = spec.get("enable_cpu_mem_arena", True)
    level = ort.GraphOptimizationLevel(spec["graph_optimization_level"])
    options.graph_optimization_level = level
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    if on_cpu:  # these and no others: the session is asked below, and need not warn of them
        options.log_severity_level = 3
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    elif not spec["allow_cpu_fallback"]:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if spec["plugin"]:
        options.add_provider_for_devices(devices[:1], spec["provider_options"])
    try:
        return ort.InferenceSession(folder / "model.onnx", options, **arguments)
    except Exception as error:  # ONNX Runtime's errors share no other base
        sys.exit(f"The model cannot be loaded with {provider} here: {without_sources(str(error))}")


def left_to_cpu(session):
    told = [part for part in session.get_provider_graph_assignment_info() if "CPU" in part.ep_name]
    nodes = (node for part in told for node in part.get_nodes())  # layouts add a Transpose or two
    return {node.name for node in nodes if node.op_type != "Transpose" or node.name in on_cpu}


session = session_with(spec["config_entries"])
if on_cpu:
    names, entries = left_to_cpu(session), dict(spec["config_entries"])
    if others := names - set(on_cpu):  # made of these by ONNX Runtime, or refused by the provider
        entries.pop("session.layer_assignment_settings", None)
        others &= left_to_cpu(session_with(entries))
    if not names or (others and not spec["allow_cpu_fallback"]):
        found = ", ".join(sorted(names)) or "nothing"
        sys.exit(f"The processor is to run {', '.join(on_cpu)}, and here it runs {found}.")


def run(feeds):
    return zip((output.name for output in session.get_outputs()), session.run(None, feeds))
