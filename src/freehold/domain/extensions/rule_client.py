"""`auth0.accessToken`: the token with which a rule may call the Management API, for reading and changing users.

It holds the two documented scopes and nothing else, and lives little longer than the rule. It is made only for rules
that name `auth0`.
"""

import re
from collections.abc import Iterable

from freehold.domain import keys
from freehold.domain.extensions.rules import Rule
from freehold.kernel.crypto import jose
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store

SCOPES = ("read:users", "update:users")
SUBJECT = "rules@clients"
LIFETIME_S, REPLACED_S = 600, 300
"""One token serves the rules of several sign-ins, so that signing costs little."""
_NAMED = re.compile(r"\bauth0\b")


def wants_client(rules: Iterable[Rule]) -> bool:
    """Whether any rule may use the client."""
    return any(_NAMED.search(rule.script) for rule in rules)


async def access_token(store: Store, tenant: TenantScope) -> str:
    """A token of the restricted client."""
    entries = tenant.cached(store.cache_epoch(tenant.id))
    now_s = tenant.clock.now_ms() // 1000
    known: tuple[str, int] | None = entries.get("token of rules")
    if known is None or known[1] - now_s < REPLACED_S:
        claims = {
            "iss": tenant.issuer, "sub": SUBJECT, "aud": tenant.management_audience, "iat": now_s,
            "exp": now_s + LIFETIME_S, "scope": " ".join(SCOPES), "gty": "client-credentials",
        }  # fmt: skip
        token = jose.sign_jwt(claims, await keys.signing_key(store, tenant), typ="JWT", alg="RS256")
        entries["token of rules"] = known = (token, now_s + LIFETIME_S)
    return known[0]
