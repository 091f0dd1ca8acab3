"""Signing keys: kept wrapped, rotated, withdrawn, published."""
