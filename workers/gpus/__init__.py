"""GPUs of this machine: what their drivers say, and whether an engine runs on them."""
