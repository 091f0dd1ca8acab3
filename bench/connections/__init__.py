"""``make bench-connections``: how soon an open connection is closed, and what it costs to keep it obedient."""
