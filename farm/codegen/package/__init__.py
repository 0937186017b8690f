"""Packages: folders of generated C with all that is needed to build, test and call it."""
