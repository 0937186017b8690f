"""Engines that the farm does not offer, as `races/engines.py` measures them."""
