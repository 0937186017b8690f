"""The code generator: from a quantised graph to C source, a binary and a package."""
