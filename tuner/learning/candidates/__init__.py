"""What a whole candidate takes: its kernels added up, corrected by what whole models took."""
