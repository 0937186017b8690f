"""What operators cost at places, and what a border between places costs."""
