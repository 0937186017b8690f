"""Bisection: which version, which option and which operators made a case slower."""
