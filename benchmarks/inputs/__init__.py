"""What scripts measure on: models, networks with random weights, made-up stores and suites."""
