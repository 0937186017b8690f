"""What a session is created with, and which one a candidate asks for."""
