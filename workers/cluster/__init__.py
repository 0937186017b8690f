"""Ray: the cluster, one actor per device profile, and what ends with it."""
