"""The front of the code generator: from an ONNX graph to typed nodes, ranges and chains."""
