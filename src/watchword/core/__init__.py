"""Tokens: bytes in, values out. No socket, no disk, no log, no event loop."""
