"""Runs model.onnx once, in exactly the session that was measured.

Call it as ``python run.py`` for random inputs, or as ``python run.py FILE.npz`` with a file that
has an array for each input, of its name, shape and type.
"""

import importlib
import json
import os
import pathlib
import sys

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported

import numpy as np
import onnxruntime as ort

INPUTS = []  # name, shape, type
FIXED = ""  # which dimensions of the model have one size only
folder = pathlib.Path(__file__).parent
spec = json.loads((folder / "session.json").read_text())
options = ort.SessionOptions()
options.intra_op_num_threads = spec["intra_op_num_threads"]
options.enable_mem_pattern = spec["enable_mem_pattern"]
options.graph_optimization_level = ort.GraphOptimizationLevel(spec["graph_optimization_level"])
for key, value in spec["config_entries"].items():
    options.add_session_config_entry(key, value)
if not spec["allow_cpu_fallback"]:
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
provider = spec["provider"]
arguments = {"disabled_optimizers": spec["disabled_optimizers"], "enable_fallback": False}
if spec["plugin"]:
    plugin = importlib.import_module(spec["plugin"])
    ort.register_execution_provider_library(provider, plugin.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == provider]
    options.add_provider_for_devices(devices[:1], spec["provider_options"])
else:
    arguments["providers"] = [(provider, spec["provider_options"])]
session = ort.InferenceSession(folder / "model.onnx", options, **arguments)

if FIXED:
    print(FIXED, file=sys.stderr)
rng = np.random.default_rng(0)
feeds = {name: rng.random(shape).astype(kind) for name, shape, kind in INPUTS}
if len(sys.argv) > 1:
    given = np.load(sys.argv[1], allow_pickle=False)
    feeds = {name: given[name] for name, _, _ in INPUTS if name in given}
for name, shape, kind in INPUTS:
    found = f"{feeds[name].dtype} {list(feeds[name].shape)}" if name in feeds else "nothing"
    if found != f"{kind} {list(shape)}":
        sys.exit(f"Input {name!r} takes {kind} {list(shape)}, and it was given {found}.")
for output, value in zip(session.get_outputs(), session.run(None, feeds)):
    name = output.name if output.name.isprintable() else repr(output.name)
    print(name, value.shape, value.dtype)
