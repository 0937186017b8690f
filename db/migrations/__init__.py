"""Alembic's environment: one script per released schema, run by ``db/connection/upgrade.py``."""
