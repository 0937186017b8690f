"""The store, reports and served pages: speed at size, and writers beside each other."""
