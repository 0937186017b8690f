"""The store as pages that are served: the same sections as in reports, over everything."""
