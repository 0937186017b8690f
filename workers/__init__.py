"""Executing: child processes, engines, meters, and the Ray actors that own them."""

import farm  # noqa: F401  (before any engine: it keeps them from sending anything)
