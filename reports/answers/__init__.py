"""Answers of the store: as tables for people, and as rows for programs."""
