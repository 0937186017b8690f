"""What cost models are made of: Gaussian processes and intervals that hold."""
