"""The search on one device: the space, what is proposed from it, and the confirmation."""
