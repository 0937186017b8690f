"""Planning memory: offsets in one arena, or few portions that tensors share in turn."""
