"""The Management API v2, computed from the registry."""
