"""Linking: two users become one with two identities, and parting again.

The secondary user is gone afterwards, with its sessions, tokens and metadata; its identity goes on signing in, now as
the primary user. Unlinking makes it a user of its own again, from the profile that was kept with the identity.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.domain.sessions import device_credentials
from freehold.domain.users import linked
from freehold.domain.users.accounts import check_free, save_user
from freehold.domain.users.documents import USERS, User, realm
from freehold.domain.users.linked import identity_id
from freehold.domain.users.profiles import fill_defaults
from freehold.kernel.clock import iso
from freehold.kernel.declare import SYSTEM, Actor, TenantScope, documents
from freehold.kernel.errors import BadRequest, Conflict
from freehold.kernel.store import Transaction

KEPT_PROFILE = (
    "email", "email_verified", "name", "given_name", "family_name", "username", "nickname", "picture", "phone_number",
    "phone_verified",
)  # fmt: skip


async def link(
    tx: Transaction, tenant: TenantScope, *, primary_id: str, secondary_id: str, actor: Actor = SYSTEM
) -> list[dict[str, Any]]:
    """Make the secondary user's identities the primary user's. Answers all identities.

    Raises NotFound for an unknown primary user, BadRequest for an unknown secondary one or the same twice, Conflict
    when the identity is linked already.
    """
    if primary_id == secondary_id:
        raise BadRequest("Main identity and the new one are the same.", code="invalid_body")
    primary = await documents.read(tx, tenant, USERS, primary_id)
    if primary is None:
        raise documents.missing(USERS)
    if await linked.owner_of(tx, tenant, secondary_id):
        raise Conflict("Specified identity already exists.", code="identity_conflict")
    secondary = await documents.read(tx, tenant, USERS, secondary_id)
    if secondary is None:
        raise BadRequest("Provided secondary account not found.", code="inexistent_user")
    moved = [dict(identity) for identity in secondary.document["identities"]]
    moved[0]["profileData"] = {name: secondary.document[name] for name in KEPT_PROFILE if name in secondary.document}
    await documents.delete(tx, tenant, USERS, secondary_id, actor=actor)
    await device_credentials.forget_user(tx, tenant, secondary_id)
    await linked.replace_linked(tx, tenant, secondary_id, ())
    identities = [*primary.document["identities"], *moved]
    await save_user(tx, tenant, primary, {**primary.document, "identities": identities})
    await linked.replace_linked(tx, tenant, primary_id, identities)
    return shown_identities({**primary.document, "identities": identities})


async def unlink(tx: Transaction, tenant: TenantScope, *, user_id: str, identity: str) -> list[dict[str, Any]]:
    """Part an identity from its user; it becomes a user of its own. Answers the identities that remain.

    Raises NotFound for an unknown user or identity, BadRequest for the main identity.
    """
    current = await documents.read(tx, tenant, USERS, user_id)
    if current is None:
        raise documents.missing(USERS)
    identities = current.document["identities"]
    if identity == identity_id(identities[0]):
        raise BadRequest("Main identity cannot be removed.", code="invalid_uri")
    parted = next((one for one in identities if identity_id(one) == identity), None)
    if parted is None:
        raise documents.missing(USERS)
    remaining = [one for one in identities if one is not parted]
    await save_user(tx, tenant, current, {**current.document, "identities": remaining})
    await linked.replace_linked(tx, tenant, user_id, remaining)
    await _restore(tx, tenant, parted)
    return shown_identities({**current.document, "identities": remaining})


def shown_identities(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A user's identities as the linking operations answer them: the first one with its profile as well."""
    first, *others = document["identities"]
    profile = {name: document[name] for name in KEPT_PROFILE if name in document and name != "name"}
    return [{"profileData": profile, **first}, *others]


async def _restore(tx: Transaction, tenant: TenantScope, identity: Mapping[str, Any]) -> None:
    now = tenant.clock.now_ms()
    values: dict[str, Any] = dict(identity.get("profileData") or {})
    fill_defaults(values)
    alone = {name: value for name, value in identity.items() if name != "profileData"}
    values.update(
        user_id=identity_id(identity), identities=[alone], created_at=iso(now), updated_at=iso(now)
    )  # fmt: skip
    await check_free(tx, tenant, realm(identity), values)
    document = msgspec.convert(values, User)
    await documents.insert(tx, tenant, USERS, document, id_=values["user_id"], now=now)
