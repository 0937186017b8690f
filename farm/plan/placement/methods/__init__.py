"""Ways to place operators and to bound what a placement costs, each for some kinds of problems."""
