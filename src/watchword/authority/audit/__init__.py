"""The audit log: who did what to whom, and how it ended."""
