"""Which operators of a model each kernel of an engine stands for, and what it took."""
