"""The machine and the account: limits, folders, locks, temporary files, what is found first."""
