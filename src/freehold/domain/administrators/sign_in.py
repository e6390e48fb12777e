"""Signing in: a password and a second factor, or a passkey, which is both.

An unknown address, a wrong password and an account without one look the same and take the same time. Wrong passwords
are counted for an account and a network, and for a network; wrong codes for the account, wherever they come from.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec

from freehold.domain.administrators import factors, passkeys, passwords
from freehold.domain.administrators.access import lifetimes
from freehold.domain.administrators.mail import notify
from freehold.domain.administrators.passkeys import PasskeyRefused
from freehold.domain.administrators.people import Administrator, find_administrator, find_by_email
from freehold.domain.administrators.records import note, signing_in_as
from freehold.domain.administrators.sessions import AdminSession, Proof, Via, begin_session
from freehold.domain.protection import FIXED, TooManyAttempts, forget, purpose_of, take_place
from freehold.domain.protection.brute_force import network_of
from freehold.domain.protection.counters import count_of, give_back
from freehold.domain.sessions.tokens import hashed
from freehold.domain.users.identifiers import canonical_email, is_email
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Forbidden, TooManyRequests, Unauthorized
from freehold.kernel.jobs import Job
from freehold.kernel.store import Transaction

CONNECTION = "administrators"
"""What wrong passwords of administrators are counted under, beside those of the tenant's connections."""
TOPIC_FAILED = "administrators.sign_in_failed"
_NETWORK, _CODES = "admin sign-in from", "admin second factor"
MOST_FAILURES_OF_A_NETWORK = 50
MOST_WRONG_CODES = 10
REMEMBERED = timedelta(hours=1)
DEVICE_REMEMBERED = timedelta(days=180)

PASSWORD_ONLY = Proof(amr=("pwd",), mfa=False)
WITH_CODE = Proof(amr=("pwd", "otp", "mfa"), mfa=True)
WITH_RECOVERY = Proof(amr=("pwd", "recovery"), mfa=False)
WITH_PASSKEY = Proof(amr=("webauthn", "mfa"), mfa=True)
PASSWORD_AND_PASSKEY = Proof(amr=("pwd", "webauthn", "mfa"), mfa=True)


class Failure(msgspec.Struct, kw_only=True):
    """A wrong password, to be recorded."""

    email: str
    ip: str
    user_agent: str
    is_last: bool
    """Whether it is the one that keeps the place out."""


class WrongCredentials(Unauthorized):
    """401: an unknown address, a wrong password, a wrong code: nobody is told which."""

    code = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("The e-mail address, the password or the code is wrong.")


class AccountBlocked(Forbidden):
    """403: told only to whoever knows the password."""

    code = "administrator_blocked"

    def __init__(self) -> None:
        super().__init__("This account is blocked. Another administrator can unblock it.")


class TriedTooOften(TooManyRequests):
    """429: too many wrong passwords or codes."""

    code = "too_many_attempts"

    def __init__(self) -> None:
        super().__init__("There were too many wrong attempts. Wait an hour, or set a new password.", retry_after_s=3600)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody signs in from."""

    ip: str
    user_agent: str
    via: Via
    device: str = ""
    """What a browser is recognised by; of a script, its network and name stand in."""

    @property
    def device_hash(self) -> str:
        """What is kept of it."""
        return hashed(self.device or f"{network_of(self.ip)} {self.user_agent}")


async def check_password(
    services: Any, tenant: TenantScope, *, email: str, password: str, place: Place
) -> Administrator:
    """Who has this address and password. Raises WrongCredentials, AccountBlocked, TriedTooOften, TooManyRequests."""
    store = services.store
    network = network_of(place.ip)
    if await count_of(store, tenant, _NETWORK, network) >= MOST_FAILURES_OF_A_NETWORK:
        raise TriedTooOften
    person = await find_by_email(store, tenant, email[:320])
    subject = canonical_email(person.email if person else email.strip()[:320])
    guard = services.login_guard.attempt(
        store, tenant, connection=CONNECTION, subject=subject, ip=place.ip, limits=FIXED
    )
    try:
        async with guard as attempt:
            verification = await passwords.verify_password(store, tenant, services.passwords, person, password)
            async with store.transaction() as tx:
                if person is None or not verification.ok:
                    await take_place(tx, tenant, _NETWORK, network, limit=MOST_FAILURES_OF_A_NETWORK, lasts=REMEMBERED)
                    failure = Failure(
                        email=email[:320], ip=place.ip, user_agent=place.user_agent[:400],
                        is_last=await attempt.failed(tx),
                    )  # fmt: skip
                    # Whether there is such an administrator makes no difference here, not in time either.
                    await tx.enqueue(TOPIC_FAILED, tenant.id, msgspec.json.encode(failure))
                else:
                    await attempt.succeeded(tx)
                    if verification.replacement is not None:
                        await passwords.store_rehash(tx, tenant, person.id, verification.replacement)
                    if person.blocked:
                        who = signing_in_as(person, ip=place.ip, user_agent=place.user_agent)
                        await note(tx, tenant, "administrator.sign_in_failed", who, reason="blocked")
    except TooManyAttempts:
        raise TriedTooOften from None
    if person is None or not verification.ok:
        raise WrongCredentials
    if person.blocked:
        raise AccountBlocked
    return person


async def record_failure(job: Job) -> None:
    """Record a wrong password after the answer was given; tell whose it was when it was one too many."""
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    failure = msgspec.json.decode(job.payload, type=Failure)
    async with job.services.store.transaction() as tx:
        person = await find_by_email(tx, tenant, failure.email)
        typed = failure.email if is_email(failure.email) else ""
        who = signing_in_as(person, email=typed, ip=failure.ip, user_agent=failure.user_agent)
        await note(tx, tenant, "administrator.sign_in_failed", who, reason="password")
        if failure.is_last and person is not None:
            await notify(tx, tenant, person, "blocked_sign_in", ip=failure.ip)
        await job.finish(tx)


async def check_code(services: Any, tenant: TenantScope, person: Administrator, code: str, place: Place) -> Proof:
    """Check a code of the authenticator app. Raises WrongCredentials, TriedTooOften."""
    async with _counted(services, tenant, person):
        async with services.store.transaction() as tx:
            right = await factors.check_totp(tx, tenant, person, code)
            if not right:
                who = signing_in_as(person, ip=place.ip, user_agent=place.user_agent)
                await note(tx, tenant, "administrator.sign_in_failed", who, reason="code")
        if not right:
            raise WrongCredentials
    return WITH_CODE


async def check_recovery_code(
    services: Any, tenant: TenantScope, person: Administrator, code: str, place: Place
) -> tuple[Proof, str]:
    """Check and use the recovery code; answers the next one too. Raises WrongCredentials, TriedTooOften."""
    who = signing_in_as(person, ip=place.ip, user_agent=place.user_agent)
    async with _counted(services, tenant, person):
        right = await factors.check_recovery(services.store, tenant, services.passwords, person, code)
        following = await factors.prepare_recovery(services.passwords) if right else None
        async with services.store.transaction() as tx:
            used = following is not None and await factors.use_recovery(tx, tenant, person, following)
            if used:
                await note(tx, tenant, "administrator.recovery_code_used", who)
                await notify(tx, tenant, person, "factor_changed", change="recovery_used", ip=place.ip)
            else:
                await note(tx, tenant, "administrator.sign_in_failed", who, reason="recovery code")
        if not used or following is None:
            raise WrongCredentials
    return WITH_RECOVERY, following.code


async def check_passkey(
    services: Any,
    tenant: TenantScope,
    person: Administrator | None,
    *,
    challenge: bytes,
    response: dict[str, Any],
    place: Place,
) -> Administrator:
    """Who answers with a passkey; with a person, it has to be theirs. Raises PasskeyRefused, AccountBlocked."""
    store = services.store
    passkey = await passkeys.find_passkey(store, tenant, passkeys.credential_id_of(response))
    found = await find_administrator(store, tenant, passkey.administrator_id) if passkey is not None else None
    who = signing_in_as(found, ip=place.ip, user_agent=place.user_agent)
    try:
        if found is None or (person is not None and found.id != person.id):
            raise PasskeyRefused("no passkey of this administrator")
        async with store.transaction() as tx:
            await passkeys.verify_assertion(tx, tenant, found, challenge=challenge, response=response)
    except PasskeyRefused as refusal:
        async with store.transaction() as tx:
            await note(tx, tenant, "administrator.sign_in_failed", who, reason=f"passkey: {refusal.reason[:200]}")
        raise
    if found.blocked:
        raise AccountBlocked
    return found


async def complete_sign_in(
    tx: Transaction, services: Any, tenant: TenantScope, person: Administrator, proof: Proof, place: Place
) -> tuple[AdminSession, str]:
    """Begin a session, with the value that opens it; a device nobody knows yet causes a notice by mail."""
    session, value = await begin_session(
        tx, tenant, person, proof=proof, lifetimes=lifetimes(services.settings), via=place.via, ip=place.ip,
        user_agent=place.user_agent,
    )  # fmt: skip
    if await _is_new_device(tx, tenant, person, place):
        await notify(tx, tenant, person, "new_device", ip=place.ip, user_agent=place.user_agent[:200])
    who = signing_in_as(person, ip=place.ip, user_agent=place.user_agent)
    await note(tx, tenant, "administrator.signed_in", who, session=session.id, via=place.via, methods=list(proof.amr))
    return session, value


async def forget_attempts(tx: Transaction, tenant: TenantScope, person: Administrator, *, codes: bool = True) -> None:
    """Let somebody try again who was kept out by wrong passwords, or also by wrong codes."""
    await forget(tx, tenant, purpose_of(CONNECTION), canonical_email(person.email))
    if codes:
        await forget(tx, tenant, _CODES, person.id)


@asynccontextmanager
async def _counted(services: Any, tenant: TenantScope, person: Administrator) -> AsyncIterator[None]:
    """Take one of the places for wrong codes before looking; a right code gives them all back."""
    async with services.store.transaction() as tx:
        if not await take_place(tx, tenant, _CODES, person.id, limit=MOST_WRONG_CODES, lasts=REMEMBERED):
            raise TriedTooOften
    try:
        yield
    except WrongCredentials:
        raise
    except BaseException:
        async with services.store.transaction() as tx:
            await give_back(tx, tenant, _CODES, person.id)
        raise
    async with services.store.transaction() as tx:
        await forget(tx, tenant, _CODES, person.id)


async def _is_new_device(tx: Transaction, tenant: TenantScope, person: Administrator, place: Place) -> bool:
    """Note the device. True when it was not known, and is not the first one of all."""
    now = tenant.clock.now_ms()
    known = await tx.one(
        "select count(*) from administrator_devices where tenant_id = :tenant_id and administrator_id = :id",
        tenant_id=tenant.id,
        id=person.id,
    )
    expires = now + int(DEVICE_REMEMBERED.total_seconds() * 1000)
    seen = await tx.run(
        """update administrator_devices set expires_at_ms = :expires where tenant_id = :tenant_id
        and administrator_id = :id and device_hash = :device""",
        expires=expires,
        tenant_id=tenant.id,
        id=person.id,
        device=place.device_hash,
    )
    if seen:
        return False
    await tx.run(
        """insert into administrator_devices (tenant_id, administrator_id, device_hash, first_seen_at_ms,
        expires_at_ms) values (:tenant_id, :id, :device, :now, :expires)
        on conflict (tenant_id, administrator_id, device_hash) do nothing""",
        tenant_id=tenant.id,
        id=person.id,
        device=place.device_hash,
        now=now,
        expires=expires,
    )
    return known is not None and known[0] > 0
