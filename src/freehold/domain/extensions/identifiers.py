"""Ids in the form that Auth0 gives actions, their versions and bindings."""

from uuid import uuid4


def new_uuid() -> str:
    """A random UUID (RFC 9562 section 5.4)."""
    return str(uuid4())
