"""Users whose passwords are kept in a database of the tenant's own (Auth0 docs, "Custom Database Connections").

Without import mode the database is asked at each sign-in, and what is kept here is a profile without a hash. With it,
the first sign-in brings the user here for good, and the database is asked only about those who are not here yet.
"""

from contextlib import suppress
from typing import Any

import msgspec

from freehold.domain.extensions import databases
from freehold.domain.extensions.databases import ExternalUser
from freehold.domain.users.accounts import PreparedPassword, create_user, normalize_identifiers, save_user
from freehold.domain.users.credentials import Verification, read_hashes, store_hash
from freehold.domain.users.databases import Database
from freehold.domain.users.documents import MFA_SECRETS, USERS
from freehold.domain.users.factors import KINDS, stored_factors
from freehold.domain.users.profiles import read_profile
from freehold.domain.users.provider_tokens import keep_tokens
from freehold.domain.users.sign_in import SignIn, verify_password
from freehold.kernel import vault
from freehold.kernel.crypto.passwords import PasswordNotUsable, PasswordTooLong
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import BadRequest, Conflict
from freehold.kernel.store import Reader, Store, Transaction

_SYNCED = ("name", "nickname", "given_name", "family_name", "picture", "email", "email_verified", "username",
           "phone_number", "phone_verified")  # fmt: skip


class Checked(msgspec.Struct, frozen=True):
    """Who is signing in, and whether the password was right."""

    found: SignIn | None
    verification: Verification


async def asks_scripts(reader: Reader, tenant: TenantScope, database: Database, found: SignIn | None) -> bool:
    """Whether the tenant's own database is asked about this user.

    A profile that was kept while import mode was off has no password here: its user has not come over yet.
    """
    if not database.is_custom or not database.imports_users or found is None:
        return database.is_custom
    return not (await read_hashes(reader, tenant, found.identity_id)).exist


async def check_sign_in(
    services: Any, tenant: TenantScope, database: Database | None, found: SignIn | None, identifier: str, password: str
) -> Checked:
    """Check a password, here or in the tenant's own database. Raises TooManyRequests, ScriptFailed."""
    store: Store = services.store
    if database is None or not await asks_scripts(store, tenant, database, found):
        return Checked(found, await verify_password(store, tenant, services.passwords, found, password))
    user = await databases.log_in(services, tenant, database, identifier, password)
    if user is None:
        return Checked(found, Verification(ok=False))
    prepared = None
    if database.imports_users:
        try:
            prepared = PreparedPassword(await services.passwords.hash(password))
        except (PasswordTooLong, PasswordNotUsable) as error:
            raise databases.ScriptFailed(error.message) from None
    async with store.transaction() as tx:
        adopted = await adopt(tx, tenant, database, user, password=prepared)
    return Checked(adopted, Verification(ok=True))


async def adopt(
    tx: Transaction, tenant: TenantScope, database: Database, user: ExternalUser, *, password: PreparedPassword | None
) -> SignIn:
    """Keep the profile of somebody the database knows, with the password only in import mode. Raises ScriptFailed."""
    user_id = f"{database.provider}|{user.id}"
    current = await documents.read(tx, tenant, USERS, user_id)
    try:
        if current is None:
            current = await create_user(tx, tenant, database, user.profile, password=password, id_=user.id)
            await _enrol(tx, tenant, user_id, user)
        else:
            current = await _refresh(tx, tenant, database, current, user)
            if password is not None and not (await read_hashes(tx, tenant, user_id)).exist:
                await store_hash(tx, tenant, user_id, password.stored)
                await _enrol(tx, tenant, user_id, user)
    except (BadRequest, Conflict) as error:
        raise databases.ScriptFailed(error.message) from None
    await keep_tokens(tx, tenant, user_id, user.tokens)
    return SignIn(read_profile(msgspec.json.encode(current.document).decode()), user_id)


async def _refresh(
    tx: Transaction, tenant: TenantScope, database: Database, current: documents.Record, user: ExternalUser
) -> documents.Record:
    """Take over what the database says now, unless the connection keeps the root attributes as they were."""
    if current.document["identities"][0]["connection"] != database.name:
        raise Conflict("The user already exists.")
    if database.options.get("set_user_root_attributes") not in {None, "on_each_login"}:
        return current
    changes = {name: user.profile[name] for name in _SYNCED if name in user.profile}
    normalize_identifiers(changes)
    changed = {name: value for name, value in changes.items() if current.document.get(name) != value}
    if not changed:
        return current
    return await save_user(tx, tenant, current, {**current.document, **changed})


async def _enrol(tx: Transaction, tenant: TenantScope, user_id: str, user: ExternalUser) -> None:
    """Second factors that come along: a malformed one is left out, and the tenant's log says so."""
    if not user.factors:
        return
    from freehold.domain.users.import_schema import MOST_FACTORS, read_factor

    good = []
    for each in user.factors[:MOST_FACTORS]:
        with suppress(BadRequest):
            good.append(read_factor({kind: each[kind] for kind in KINDS if kind in each}))
    if len(good) < len(user.factors):
        await tenant.events.record(tx, tenant, "fu", user_id=user_id, description="Unable to import MFA factors.")
    factors = stored_factors(good)
    for name, content in factors:
        await vault.put(tx, tenant, MFA_SECRETS.name, user_id, content, name=name)
