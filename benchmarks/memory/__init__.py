"""Memory plans and orders of operators, beside the best possible ones."""
