"""What a visitor is told beforehand about the passwords a connection takes."""

from freehold.domain.connections import password_policy
from freehold.domain.users import Database
from freehold.login.views import ALL_KINDS, PasswordHints

_KINDS = {"lower": "lowercase", "upper": "uppercase", "digit": "number", "special": "special"}


def hints_for(database: Database | None) -> PasswordHints:
    """The connection's rules, as the page shows them."""
    if database is None:
        return PasswordHints()
    policy = password_policy(dict(database.options))
    kinds = tuple(kind for kind in ALL_KINDS if _KINDS[kind] in policy.types) if policy.types_needed else ()
    return PasswordHints(
        policy.min_length if policy.min_length > 1 else 0, kinds, policy.types_needed, policy.identical_blocked
    )
