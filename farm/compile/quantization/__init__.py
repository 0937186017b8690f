"""Quantisation: ranges, what 8 bits are too few for, the passes, what each operator costs."""
