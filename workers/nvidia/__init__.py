"""NVIDIA's GPUs: which there are, and what their driver tells of them."""
