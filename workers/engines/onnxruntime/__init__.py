"""ONNX Runtime: on processors, on GPUs with the data in their memory, and its profiles."""
