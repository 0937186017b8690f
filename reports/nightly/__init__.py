"""What a night says, for people and programs, and what makes nights come."""
