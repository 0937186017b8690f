"""The child process: one artifact, loaded, run, measured or compiled."""
