"""Scripts that print the numbers of this project's documentation. See ``README.md``."""
