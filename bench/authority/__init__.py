"""``make bench-authority``: tokens a second, what sign-ins do to others, and mints beside a storm of revocations."""
