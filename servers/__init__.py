"""Real servers to hold Watchword against: PostgreSQL, a pooler before it, and a network that fails. Not shipped."""
