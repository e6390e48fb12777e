"""The tests mirror src/freehold; what they share is in tests/support."""
