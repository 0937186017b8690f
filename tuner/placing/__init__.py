"""From a model, devices and what the store knows of them to a problem of placement."""
