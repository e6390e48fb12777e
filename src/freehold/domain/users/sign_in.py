"""What protocols do with users: find one by what was typed, check the password, note the sign-in, sign up.

An unknown user and a wrong password are the same to a caller, in words and in time.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.domain.users import credentials
from freehold.domain.users.accounts import PreparedPassword, create_user
from freehold.domain.users.credentials import Verification
from freehold.domain.users.databases import Database
from freehold.domain.users.identifiers import (
    LONGEST_EMAIL,
    canonical_email,
    canonical_username,
    is_email,
    is_phone_number,
    is_username,
)
from freehold.domain.users.profiles import Profile, read_profile
from freehold.kernel.clock import iso
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.declare import TenantScope
from freehold.kernel.declare.documents import Record
from freehold.kernel.store import Reader, Transaction

_COLUMNS = {"email": "ix_email", "username": "ix_username", "phone_number": "ix_phone_number"}
_FIND = {
    kind: f"select id, document from users where tenant_id = :tenant_id and {column} = :value and ix_realm = :realm"  # noqa: S608 - columns above
    for kind, column in _COLUMNS.items()
}
_FIND_LINKED = {
    kind: "select u.document, l.identity from linked_identities l join users u on u.tenant_id = l.tenant_id "  # noqa: S608 - columns above
    f"and u.id = l.user_id where l.tenant_id = :tenant_id and l.{kind} = :value and l.realm = :realm"
    for kind in _COLUMNS
}


class SignIn(msgspec.Struct, frozen=True):
    """Who is signing in: the user, and which of the identities was named."""

    user: Profile
    identity_id: str


def identifier_forms(database: Database, identifier: str) -> list[tuple[str, str]]:
    """What a typed identifier can be in this connection: kinds and canonical values, most likely first."""
    if not identifier or len(identifier) > LONGEST_EMAIL:
        return []
    forms = []
    if database.takes_email and is_email(identifier):
        forms.append(("email", canonical_email(identifier)))
    if database.takes_phone_number and is_phone_number(identifier):
        forms.append(("phone_number", identifier))
    if database.takes_username and is_username(identifier):
        forms.append(("username", canonical_username(identifier)))
    return forms


def attempt_subject(found: SignIn | None, identifier: str) -> str:
    """Whom a try to sign in counts against: one name for a user however they are called, also for nobody."""
    if found is not None:
        user = found.user
        identifier = user.email or user.username or user.phone_number or user.user_id
    return canonical_username(identifier.strip()[:LONGEST_EMAIL])


async def find_for_login(reader: Reader, tenant: TenantScope, database: Database, identifier: str) -> SignIn | None:
    """The user who is found by an e-mail address, user name or phone number in this connection, or None.

    An identity that is linked to another user's answers that user.
    """
    for kind, value in identifier_forms(database, identifier.strip()):
        row = await reader.one(_FIND[kind], tenant_id=tenant.id, value=value, realm=database.name)
        if row is not None:
            return SignIn(read_profile(row[1]), row[0])
        row = await reader.one(_FIND_LINKED[kind], tenant_id=tenant.id, value=value, realm=database.name)
        if row is not None:
            return SignIn(read_profile(row[0]), row[1])
    return None


async def verify_password(
    reader: Reader, tenant: TenantScope, pool: PasswordPool, found: SignIn | None, password: str
) -> Verification:
    """Check the password of whoever `find_for_login` found; for nobody it takes as long. Raises TooManyRequests.

    A blocked user is the caller's to refuse, after this.
    """
    return await credentials.verify_password(
        reader, tenant, pool, identity_id=found.identity_id if found else None, password=password
    )


async def record_login(
    tx: Transaction, tenant: TenantScope, found: SignIn, *, ip: str, verification: Verification | None = None
) -> None:
    """Note a sign-in that succeeded: its time, place and count; an old hash is replaced on the way."""
    await tx.add(
        """update users set last_login = :now, last_ip = :ip, logins_count = coalesce(logins_count, 0) + 1
        where tenant_id = :tenant_id and id = :id""",
        now=iso(tenant.clock.now_ms()),
        ip=ip,
        tenant_id=tenant.id,
        id=found.user.user_id,
    )
    if verification is not None:
        await keep_rehash(tx, tenant, found, verification)


async def keep_rehash(tx: Transaction, tenant: TenantScope, found: SignIn, verification: Verification) -> None:
    """Replace an old hash by the one that the check of the password made, before the sign-in is through."""
    if verification.replacement is not None:
        await credentials.store_rehash(tx, tenant, found.identity_id, verification.replacement)


async def record_return(tx: Transaction, tenant: TenantScope, user_id: str, *, ip: str) -> None:
    """Note a sign-in through a session that was there already."""
    await tx.run(
        """update users set last_login = :now, last_ip = :ip, logins_count = coalesce(logins_count, 0) + 1
        where tenant_id = :tenant_id and id = :id""",
        now=iso(tenant.clock.now_ms()),
        ip=ip,
        tenant_id=tenant.id,
        id=user_id,
    )


async def sign_up(
    tx: Transaction,
    tenant: TenantScope,
    database: Database,
    given: Mapping[str, Any],
    *,
    password: PreparedPassword | None,
    id_: str | None = None,
    client_id: str = "",
    ip: str = "",
    user_agent: str = "",
) -> Record:
    """Make a user who signs up by themselves. Raises what `create_user` raises."""
    record = await create_user(tx, tenant, database, given, password=password, id_=id_)
    await tenant.events.record(
        tx,
        tenant,
        "ss",
        connection=database.name,
        connection_id=database.id,
        client_id=client_id or None,
        user_id=record.id,
        user_name=record.document.get("email") or record.document.get("username"),
        strategy=database.strategy,
        strategy_type="database",
        ip=ip or None,
        user_agent=user_agent or None,
    )
    return record
