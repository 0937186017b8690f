"""Rows for programs and pages: one module per format, all behind one function."""
