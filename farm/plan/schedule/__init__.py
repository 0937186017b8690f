"""Planning the order of operators: the one whose peak of living tensors is lowest."""
