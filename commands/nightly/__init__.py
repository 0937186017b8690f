"""``farm nightly``: a suite night after night."""
