pipeline = json.loads((folder / "pipeline.json").read_text())
# LOADERS
parts = []
for part, told in zip(pipeline["parts"], spec["parts"]):
    load = LOADERS[told["engine"]]
    parts.append((part, load(folder / part["folder"], told["spec"])))
if spec["overlapped"]:
    print("It was measured with its parts at work on successive samples.", file=sys.stderr)


def run(feeds):
    known = dict(feeds)
    for part, run_part in parts:
        values = run_part({name: known[name] for name in part["inputs"]})
        known.update((name, value) for name, (_, value) in zip(part["outputs"], values))
    return [(name, known[name]) for name in pipeline["outputs"]]
