"""Tokens that an identity provider, or a database of the tenant's own, gave for a user: sealed, and shown to few.

They belong to an identity, so that they go on with it when accounts are linked. The Management API shows them inside of
`identities`, to tokens with the scope `read:user_idp_tokens`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.domain.connections.configuration import WRITE_ONLY_SECRETS
from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader, Transaction

SCOPE = "read:user_idp_tokens"
MEMBERS = ("access_token", "refresh_token", "expires_in")
LONGEST = 16_384
HAS_TOKENS = vault.HELD
"""Whether an identity has tokens, as a column of another statement; see `naming`."""
_KIND = WRITE_ONLY_SECRETS.name


async def keep_tokens(tx: Transaction, tenant: TenantScope, identity: str, tokens: Mapping[str, Any]) -> None:
    """Put the tokens of a sign-in in the place of those before; a refresh token stays where there is no newer one."""
    found = {
        name: tokens[name] for name in MEMBERS
        if isinstance(tokens.get(name), int if name == "expires_in" else str)
    }  # fmt: skip
    if not found:
        return
    if "refresh_token" not in found:
        before = await tokens_of(tx, tenant, identity)
        found |= {name: before[name] for name in ("refresh_token",) if name in before}
    content = msgspec.json.encode(found)
    if len(content) <= LONGEST:
        await vault.put(tx, tenant, _KIND, _owner(identity), content, name="tokens")


async def tokens_of(reader: Reader, tenant: TenantScope, identity: str) -> dict[str, Any]:
    """The tokens of an identity, in clear."""
    content = await vault.open_one(reader, tenant, _KIND, _owner(identity), name="tokens")
    return {} if content is None else msgspec.json.decode(content, type=dict[str, Any])


def naming(identity: str) -> dict[str, str]:
    """The parameters of HAS_TOKENS."""
    return {"vault_kind": _KIND, "vault_owner": _owner(identity)}


async def forget_tokens(tx: Transaction, tenant: TenantScope, identity: str) -> None:
    """Drop what was kept of an identity that goes."""
    await vault.drop(tx, tenant, _KIND, _owner(identity))


def _owner(identity: str) -> str:
    return f"identities/{identity}"
