"""Models that are split over engines: their parts one after another, or overlapping."""
