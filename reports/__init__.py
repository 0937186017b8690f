"""Showing: tables, figures and machine-readable results."""
