"""The commands of ``farm plan``, one per module."""
