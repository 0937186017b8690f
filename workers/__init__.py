"""Executing: child processes, engines, meters, and the Ray actors that own them."""
