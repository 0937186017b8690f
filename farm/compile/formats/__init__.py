"""Number formats and opsets of a model before anything else is done to it."""
