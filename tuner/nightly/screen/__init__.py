"""Nightly series: has a case become slower or faster than it was? Values in, values out."""
