"""The model: its file, read and checked; its shapes; the graph view with its arithmetic work."""
