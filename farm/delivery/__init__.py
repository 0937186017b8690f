"""What leaves the farm: whole folders with their digests, and what a winner's holds."""
