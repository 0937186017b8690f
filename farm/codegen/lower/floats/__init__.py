"""Lowering to float kernels: what is not quantised, or was asked to stay as it is."""
