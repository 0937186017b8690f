"""Sections of pages: values in, a drawing with its table and words out."""
