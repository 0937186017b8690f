"""The store: what the farm measured, kept in SQLite or PostgreSQL."""
