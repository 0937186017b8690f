"""What leaves the farm: where winners go, their records, and the best so far."""
