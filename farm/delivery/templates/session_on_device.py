if provider not in session.get_providers():
    sys.exit(f"{provider} did not start: is there a GPU here, and its driver?")
memory, number = spec["memory"], int(spec["provider_options"].get("device_id", 0))
kept = []  # inputs and outputs have one address each: recorded graphs know no other ones


def bind(feeds):
    binding, inputs, varying = session.io_binding(), {}, []
    for name in (each.name for each in session.get_inputs()):
        inputs[name] = ort.OrtValue.ortvalue_from_numpy(feeds[name], memory, number)
        binding.bind_ortvalue_input(name, inputs[name])
    for output in session.get_outputs():
        kind = output.type.removeprefix("tensor(").removesuffix(")")
        kind = np.dtype({"float": "float32", "double": "float64"}.get(kind, kind))
        if all(isinstance(size, int) for size in output.shape):
            made = ort.OrtValue.ortvalue_from_shape_and_type(output.shape, kind, memory, number)
            binding.bind_ortvalue_output(output.name, made)
        else:
            varying.append(output.name)
    return binding, inputs, varying


def run(feeds):
    if not kept:
        kept.extend(bind(feeds))
    binding, inputs, varying = kept
    for name, value in inputs.items():
        value.update_inplace(feeds[name])
    for name in varying:
        binding.bind_output(name, memory, number)
    session.run_with_iobinding(binding)
    return zip((output.name for output in session.get_outputs()), binding.copy_outputs_to_cpu())
