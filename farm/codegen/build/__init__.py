"""Building: compilers, archives and runners of generated C."""
