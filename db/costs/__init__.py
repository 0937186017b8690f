"""What operators and candidates cost: their kernels, what was expected of them, cost models."""
