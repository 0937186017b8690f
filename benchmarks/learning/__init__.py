"""Cost models: how far predictions are off on models left out, and what they are worth."""
