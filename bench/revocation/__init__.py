"""``make bench-revocation``: from acknowledged to refused, many followers, a storm, and what it costs a guard."""
