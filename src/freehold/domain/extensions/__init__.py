"""Customers' own code: where it runs, and what it may be."""
