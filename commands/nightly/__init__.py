"""``farm nightly``: suites that are measured again and again."""
