"""Steps of generated programs, one module per family: values, reference and C call together."""
