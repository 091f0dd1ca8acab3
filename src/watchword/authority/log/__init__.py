"""The log: its head, the feed that hands it out, and what writes to it."""
