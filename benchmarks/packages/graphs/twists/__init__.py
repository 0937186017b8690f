"""What is done to a model that grew: other spellings, types, names, numbers and outputs."""
