"""What is asked of nights: suites and series, what is open, what cannot be relied on."""
