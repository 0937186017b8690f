"""Accuracy: from the outputs of a run to one number between 0 and 1 (the user's may differ)."""
