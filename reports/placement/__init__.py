"""Placement plans as tables, JSON and pictures."""
