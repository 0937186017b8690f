"""What the store has: runs, trials, comparisons, any question in SQL."""
