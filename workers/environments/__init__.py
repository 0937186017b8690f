"""Environments on this machine: installed, used by workers, removed."""
