"""A run: what is asked for, checked; its journal in the store; its clock and its memory."""
