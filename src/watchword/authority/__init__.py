"""The authority: issues tokens, keeps users, roles, sessions, clients and keys, and says what is revoked."""
