"""Clients: the applications and services that ask for tokens."""
