"""Steps on quantised tensors: u8 activations, s8 weights, s32 sums."""
