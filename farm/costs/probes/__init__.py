"""Small kernels that a device is calibrated with, as ONNX models of many of them each."""
