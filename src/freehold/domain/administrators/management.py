"""What administrators, and the operator, do with the accounts of administrators; each is recorded, and told by mail."""

from datetime import timedelta
from typing import Any

from freehold.domain.administrators import factors, passkeys, passwords, people
from freehold.domain.administrators.factors import PreparedRecovery
from freehold.domain.administrators.links import (
    Link,
    LinkOver,
    find_link,
    invitation_url,
    issue_invitation,
    issue_password_link,
    password_url,
    use_link,
    withdraw_invitation,
)
from freehold.domain.administrators.mail import notify, send
from freehold.domain.administrators.passkeys import Passkey
from freehold.domain.administrators.people import AddressTaken, Administrator, Role, find_by_email, get_administrator
from freehold.domain.administrators.records import Who, note, signing_in_as
from freehold.domain.administrators.sessions import end_session, end_sessions_of
from freehold.domain.administrators.sign_in import Place, forget_attempts
from freehold.domain.users.identifiers import canonical_email
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, Forbidden, NotFound
from freehold.kernel.store import Transaction


class LastFactor(Forbidden):
    """403: without this one there would be no second factor left."""

    code = "last_factor"

    def __init__(self) -> None:
        super().__init__("This is your only second factor. Set up another one first.")


class NotYourself(BadRequest):
    """400: what one does for others is done for oneself on the page about one's own security."""

    code = "not_yourself"

    def __init__(self) -> None:
        super().__init__("You cannot do this to yourself. Your own factors and password are under Security.")


# --- coming and going --------------------------------------------------------------------------------------------


async def invite(
    tx: Transaction, tenant: TenantScope, who: Who, *, email: str, role: Role, lifetime: timedelta
) -> tuple[Link, str]:
    """Invite somebody; answers the invitation and its address, which is mailed too. Raises AddressTaken, BadRequest."""
    if await find_by_email(tx, tenant, email) is not None:
        raise AddressTaken
    link, value = await issue_invitation(
        tx, tenant, email=email, role=role, issued_by=who.name, lifetime=lifetime
    )  # fmt: skip
    url = invitation_url(tenant, value)
    hours = round(lifetime.total_seconds() / 3600)
    await send(tx, tenant, "admin_invitation", link.email, url=url, invited_by=who.email, hours=hours)
    await note(tx, tenant, "administrator.invited", who, email=link.email, role=role, invitation=link.id)
    return link, url


async def withdraw(tx: Transaction, tenant: TenantScope, who: Who, invitation_id: str) -> Link:
    """Withdraw an invitation. Raises NotFound."""
    link = await withdraw_invitation(tx, tenant, invitation_id)
    if link is None:
        raise NotFound("There is no such open invitation.", code="inexistent_invitation")
    await note(tx, tenant, "administrator.invitation_withdrawn", who, email=link.email, invitation=link.id)
    return link


async def accept_invitation(
    services: Any, tenant: TenantScope, *, token: str, name: str, password: str, place: Place, email: str = ""
) -> Administrator:
    """Make the account that an invitation is for; `email` counts only where it names none, for the first of all.

    Raises LinkOver, PasswordRefused, AddressTaken, BadRequest.
    """
    store = services.store
    state, link = await find_link(store, tenant, token, "invitation")
    if state != "open" or link is None:
        raise LinkOver(state)
    address = people.address_of(link.email or email)
    stored = await passwords.prepare_password(services.passwords, password, email=address, name=name)
    async with store.transaction() as tx:
        await people.lock(tx, tenant)
        link = await use_link(tx, tenant, token, "invitation")
        person = await people.add_administrator(
            tx, tenant, email=address, name=name, role=link.role, created_by=link.issued_by
        )
        await passwords.store_password(tx, tenant, person.id, stored)
        who = signing_in_as(person, ip=place.ip, user_agent=place.user_agent)
        await note(
            tx, tenant, "administrator.accepted", who, role=person.role, invitation=link.id, invited_by=link.issued_by
        )
    return person


async def change_role(
    tx: Transaction, tenant: TenantScope, who: Who, administrator_id: str, role: Role
) -> Administrator:
    """Give somebody another role. Raises UnknownAdministrator, LastAdministrator."""
    before = await get_administrator(tx, tenant, administrator_id)
    person = await people.change_role(tx, tenant, administrator_id, role)
    if before.role != person.role:
        await note(tx, tenant, "administrator.role_changed", who, **_about(person), was=before.role, role=person.role)
    return person


async def block(tx: Transaction, tenant: TenantScope, who: Who, administrator_id: str) -> Administrator:
    """Keep somebody out at once. Raises UnknownAdministrator, LastAdministrator."""
    person = await people.set_blocked(tx, tenant, administrator_id, blocked=True)
    await note(tx, tenant, "administrator.blocked", who, **_about(person))
    return person


async def unblock(tx: Transaction, tenant: TenantScope, who: Who, administrator_id: str) -> Administrator:
    """Let somebody in again, also where wrong passwords or codes keep them out. Raises UnknownAdministrator."""
    person = await people.set_blocked(tx, tenant, administrator_id, blocked=False)
    await forget_attempts(tx, tenant, person)
    await note(tx, tenant, "administrator.unblocked", who, **_about(person))
    return person


async def remove(tx: Transaction, tenant: TenantScope, who: Who, administrator_id: str) -> Administrator:
    """Remove somebody. Raises UnknownAdministrator, LastAdministrator."""
    person = await people.remove_administrator(tx, tenant, administrator_id)
    await forget_attempts(tx, tenant, person)
    await note(tx, tenant, "administrator.removed", who, **_about(person))
    return person


# --- for somebody else -------------------------------------------------------------------------------------------


async def reset_factors(tx: Transaction, tenant: TenantScope, who: Who, administrator_id: str) -> Administrator:
    """Take somebody's second factors away; they are signed out and set up new ones with their password.

    Raises UnknownAdministrator, NotYourself.
    """
    person = await _other(tx, tenant, who, administrator_id)
    await factors.drop_factors(tx, tenant, person.id)
    await end_sessions_of(tx, tenant, person.id)
    await forget_attempts(tx, tenant, person)
    await _mark_reset(tx, tenant, who, person)
    await note(tx, tenant, "administrator.factors_reset", who, **_about(person))
    await notify(tx, tenant, person, "factor_changed", change="reset", by=who.email or who.kind)
    return await get_administrator(tx, tenant, person.id)


async def reset_password(tx: Transaction, tenant: TenantScope, who: Who, administrator_id: str) -> str:
    """Mail somebody a link to set a new password; the old one is forgotten and they are signed out.

    Answers the link's address, which is for the operator alone. Raises UnknownAdministrator, NotYourself.
    """
    person = await _other(tx, tenant, who, administrator_id)
    await passwords.drop_password(tx, tenant, person.id)
    await end_sessions_of(tx, tenant, person.id)
    _, value = await issue_password_link(tx, tenant, person, issued_by=who.name)
    url = password_url(tenant, value)
    await _mark_reset(tx, tenant, who, person)
    await note(tx, tenant, "administrator.password_reset", who, **_about(person))
    await send(tx, tenant, "admin_new_password", person.email, url=url)
    return url


# --- for oneself -------------------------------------------------------------------------------------------------


async def set_new_password(
    services: Any, tenant: TenantScope, *, token: str, password: str, place: Place
) -> Administrator:
    """Set a new password with the link that was mailed. Raises LinkOver, PasswordRefused."""
    store = services.store
    state, link = await find_link(store, tenant, token, "password")
    if state != "open" or link is None:
        raise LinkOver(state)
    person = await get_administrator(store, tenant, str(link.administrator_id))
    stored = await passwords.prepare_password(services.passwords, password, email=person.email, name=person.name)
    async with store.transaction() as tx:
        link = await use_link(tx, tenant, token, "password")
        person = await get_administrator(tx, tenant, str(link.administrator_id))
        if person.blocked or canonical_email(person.email) != canonical_email(link.email):
            raise LinkOver("void")
        await passwords.store_password(tx, tenant, person.id, stored)
        await end_sessions_of(tx, tenant, person.id)
        await forget_attempts(tx, tenant, person, codes=False)
        who = signing_in_as(person, ip=place.ip, user_agent=place.user_agent)
        await note(tx, tenant, "administrator.password_changed", who, by="link")
        await notify(tx, tenant, person, "password_changed", ip=place.ip)
    return person


async def change_password(tx: Transaction, tenant: TenantScope, who: Who, person: Administrator, stored: str) -> None:
    """Change one's own password; all other sessions end."""
    await passwords.store_password(tx, tenant, person.id, stored)
    await end_sessions_of(tx, tenant, person.id, but=who.session_id)
    await note(tx, tenant, "administrator.password_changed", who, by="session")
    await notify(tx, tenant, person, "password_changed", ip=who.ip)


async def enrol_totp(
    tx: Transaction, tenant: TenantScope, who: Who, person: Administrator, code: str, recovery: PreparedRecovery
) -> str | None:
    """Finish setting up the authenticator app with a code of it; answers the new recovery code, None for a wrong code.

    Other sessions end: somebody else who was signed in loses what they had.
    """
    if not await factors.accept_totp(tx, tenant, person, code):
        return None
    await factors.store_recovery(tx, tenant, person.id, recovery)
    await end_sessions_of(tx, tenant, person.id, but=who.session_id)
    await note(tx, tenant, "administrator.factor_enrolled", who, factor="totp")
    await notify(tx, tenant, person, "factor_changed", change="totp_added", ip=who.ip)
    return recovery.code


async def enrol_passkey(
    tx: Transaction,
    tenant: TenantScope,
    who: Who,
    person: Administrator,
    *,
    challenge: bytes,
    response: dict[str, Any],
    name: str,
    recovery: PreparedRecovery,
) -> tuple[Passkey, str | None]:
    """Register a passkey; the recovery code too when there was none. Raises PasskeyRefused, Conflict."""
    passkey = await passkeys.register_passkey(
        tx, tenant, person, challenge=challenge, response=response, name=name
    )  # fmt: skip
    first = person.recovery_since_ms is None
    if first:
        # Whoever is signed in elsewhere showed a password only.
        await factors.store_recovery(tx, tenant, person.id, recovery)
        await end_sessions_of(tx, tenant, person.id, but=who.session_id)
    await note(tx, tenant, "administrator.factor_enrolled", who, factor="passkey", passkey=passkey.credential_id)
    await notify(tx, tenant, person, "factor_changed", change="passkey_added", ip=who.ip, name=passkey.name)
    return passkey, recovery.code if first else None


async def new_recovery_code(
    tx: Transaction, tenant: TenantScope, who: Who, person: Administrator, recovery: PreparedRecovery
) -> str:
    """Put another recovery code in the place of the present one."""
    await factors.store_recovery(tx, tenant, person.id, recovery)
    await note(tx, tenant, "administrator.recovery_code_changed", who)
    await notify(tx, tenant, person, "factor_changed", change="recovery_changed", ip=who.ip)
    return recovery.code


async def remove_factor(
    tx: Transaction, tenant: TenantScope, who: Who, person: Administrator, factor: str, *, last_may_go: bool
) -> None:
    """Remove one's authenticator (`totp`) or a passkey, by its id. Raises LastFactor, NotFound."""
    present = await factors.factors_of(tx, tenant, person.id)
    if present.count == 1 and not last_may_go:
        raise LastFactor
    if factor == "totp" and present.totp_since_ms is not None:
        await factors.remove_totp(tx, tenant, person.id)
    elif not await passkeys.remove_passkey(tx, tenant, person.id, factor):
        raise NotFound("There is no such factor.", code="inexistent_factor")
    change = "totp_removed" if factor == "totp" else "passkey_removed"
    await note(tx, tenant, "administrator.factor_removed", who, factor=factor)
    await notify(tx, tenant, person, "factor_changed", change=change, ip=who.ip)


async def revoke_session(tx: Transaction, tenant: TenantScope, who: Who, session_id: str) -> None:
    """End one of one's own sessions. Raises NotFound."""
    if not await end_session(tx, tenant, session_id, administrator_id=who.id):
        raise NotFound("There is no such session.", code="inexistent_session")
    await note(tx, tenant, "administrator.session_revoked", who, session=session_id)


async def _other(tx: Transaction, tenant: TenantScope, who: Who, administrator_id: str) -> Administrator:
    if who.id == administrator_id:
        raise NotYourself
    return await get_administrator(tx, tenant, administrator_id)


async def _mark_reset(tx: Transaction, tenant: TenantScope, who: Who, person: Administrator) -> None:
    """Remember who took something away: for a while these two do not count as two persons."""
    await tx.run(
        "update administrators set reset_at_ms = :now, reset_by = :by where tenant_id = :tenant_id and id = :id",
        now=tenant.clock.now_ms(),
        by=who.name,
        tenant_id=tenant.id,
        id=person.id,
    )


def _about(person: Administrator) -> dict[str, Any]:
    return {"administrator": person.id, "email": person.email}
