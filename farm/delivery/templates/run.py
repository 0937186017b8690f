"""Runs model.onnx once, in exactly the session that was measured.

Call it as ``python run.py`` for random inputs, or as ``python run.py FILE.npz`` with a file that
has an array for each input, of its name, shape and type.
"""

import json
import os
import pathlib
import sys

import numpy as np

INPUTS = []  # name, shape, type
CALLERS = 1  # that called it at the same time where it was measured
FIXED = ""  # which dimensions of the model have one size only
VARIABLES = {}  # of the environment, where it has none of these names
os.environ.update({name: VARIABLES[name] for name in VARIABLES if name not in os.environ})
folder = pathlib.Path(__file__).parent
spec = json.loads((folder / "session.json").read_text())
# SESSION
if CALLERS > 1:
    print(f"It was measured with {CALLERS} callers at the same time.", file=sys.stderr)
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
for output, value in run(feeds):
    name = output if output.isprintable() else repr(output)
    print(name, value.shape, value.dtype)
