"""The views of each schema that changed them, as SQL."""
