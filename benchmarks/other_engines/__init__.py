"""Engines that the farm does not offer, as `engines.py` measures them."""
