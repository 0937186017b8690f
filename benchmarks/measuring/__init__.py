"""Whether measurements and decisions on them are right, and what measuring costs."""
