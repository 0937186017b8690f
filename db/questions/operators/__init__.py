"""What is asked of kernels: of one trial, and of all for planning and learning."""
