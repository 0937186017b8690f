"""Lowering to integer kernels: operators whose tensors are quantised."""
