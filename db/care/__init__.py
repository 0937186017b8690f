"""Care of a store: copies of it, another one's rows in it, what is old out of it, is it whole."""
