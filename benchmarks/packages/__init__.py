"""Generated code: correctness bit for bit, packets, memory, size."""
