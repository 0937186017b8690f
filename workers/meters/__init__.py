"""Meters: latency, memory and energy of the process or machine they run in."""
