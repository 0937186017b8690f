"""What a night says of each series: its history, the decision, and that in words."""
