"""Sessions: one sign-in on one device, and its refresh tokens."""
