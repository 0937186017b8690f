"""Calibrating a device: what kernels and borders cost at each of its places."""
