"""What kernels cost, learnt from all that were profiled on a machine's device."""
