"""The search, replayed on recorded tables of configurations."""
