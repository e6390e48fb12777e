"""The Management API v2, computed from the registry.

`routes` makes the operations of every declaration, `edge` authorises, counts and turns errors into Auth0's envelope.
Nothing here names a resource, and nothing is imported from the domain.
"""
