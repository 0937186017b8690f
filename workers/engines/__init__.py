"""Engines: what executes an artifact. One module each, loaded only in the child that needs it."""
