"""Watchword at work: an example service, two processes in one command, and the story of every revocation."""
