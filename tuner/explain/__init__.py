"""Why a trial is as fast as it is: its kernels beside another trial's, and what was decided."""
