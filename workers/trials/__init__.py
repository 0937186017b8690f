"""A worker: carries out one device's trials with child processes that it owns."""
