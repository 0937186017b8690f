"""Orders of operators: with few parts, and with little memory."""
