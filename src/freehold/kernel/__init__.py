"""Mechanism: declarations, storage, HTTP, cryptography, jobs. Knows no identity concept."""
