"""What leaves the farm: winners written to their folders, and delivered packages verified."""
