"""Lowering: from nodes of a graph to steps of a program, one module per family."""
