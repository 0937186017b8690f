"""What was learnt: predictions, how good they are, and their picture."""
