"""Nights: measuring a suite again and again, and saying what became slower or faster."""
