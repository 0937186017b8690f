"""The machines that run trials: their devices, what each lacks, how they meet."""
