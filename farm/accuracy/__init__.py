"""Accuracy: from the outputs of a run to one number, mostly between 0 and 1, or to none."""
