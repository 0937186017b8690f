"""What starts a night: one form per module, all made from the same value."""
