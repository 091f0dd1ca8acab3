"""The guard: protects a service with tokens, a policy and what the authority's feed says."""
