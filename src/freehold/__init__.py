"""Freehold: the identity platform you own.

Self-hosted and wire-compatible with Auth0; everything a tenant owns can be taken out, complete, and restored elsewhere.
"""

__version__ = "0.1.0"
