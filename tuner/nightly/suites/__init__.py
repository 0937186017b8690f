"""Suites: what is measured every night, and when."""
