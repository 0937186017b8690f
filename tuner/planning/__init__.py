"""What the commands of ``farm plan`` start."""
