"""Steps on float32 tensors."""
