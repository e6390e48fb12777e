"""Preparing a sealed export: from the vault to a file that only the approved recipients can read."""
