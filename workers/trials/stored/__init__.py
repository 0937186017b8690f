"""What trials leave in the cache: artifacts, by key and hash, and how long they stay."""
