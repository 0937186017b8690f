"""Cost models that are fitted to all that a store has: rows, features, models, their intervals."""
