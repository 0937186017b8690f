"""Ray: the cluster, one actor per device profile, and what ends with it."""

from workers.cluster import environment

environment.for_own_cluster()  # Ray reads it when it is imported, which happens only below here
