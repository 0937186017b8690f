"""What was delivered, verified: folders, packages, and the claims that were made of them."""
