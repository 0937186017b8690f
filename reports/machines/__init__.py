"""Machines and what is installed on them, as people and programs are told of it."""
