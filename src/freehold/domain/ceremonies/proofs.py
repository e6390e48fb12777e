"""What proves that somebody decided: a passkey's signature over the digest, the decision and the person, or a code.

The signature can be checked again by anybody later; of a code there is only this server's word, so it counts as weak.
"""

import secrets
from datetime import timedelta
from typing import Any, Literal

from freehold.domain.administrators import assertion_options, verify_assertion
from freehold.domain.administrators.factors import check_totp
from freehold.domain.ceremonies.attempts import Acted, Attempt, record_refusal
from freehold.domain.ceremonies.evidence.approvals import approval_challenge
from freehold.domain.ceremonies.people import check_acting
from freehold.domain.ceremonies.records import Ceremony, WrongState, get_ceremony
from freehold.domain.ceremonies.request import groups
from freehold.domain.protection import forget, take_place
from freehold.kernel.crypto.jose import b64u_encode
from freehold.kernel.errors import BadRequest, Forbidden, TooManyRequests

Decision = Literal["approve", "reject", "authorize"]
CHALLENGE_LIFETIME = timedelta(minutes=5)
MOST_CODES, CODES_WITHIN = 5, timedelta(hours=1)


class CodeRefused(Forbidden):
    """403: the authenticator's code is wrong or was used before."""

    code = "wrong_code"

    def __init__(self) -> None:
        super().__init__("The code is wrong or was used before. Wait for the next one.")


class PasskeyNeeded(Forbidden):
    """403: here a code of an authenticator does not do."""

    code = "passkey_needed"

    def __init__(self) -> None:
        super().__init__("This needs a passkey.")


async def ask_to_decide(attempt: Attempt, ceremony_id: str, decision: Decision) -> dict[str, Any]:
    """What `navigator.credentials.get` is asked for; the challenge is made of digest, decision, person and a nonce."""
    tenant = attempt.tenant
    nonce = secrets.token_bytes(32)
    async with attempt.store.transaction() as tx:
        person, _ = await check_acting(tx, tenant, attempt.acting)
        ceremony = await get_ceremony(tx, tenant, ceremony_id)
        if ceremony.state != "requirements_pending":
            raise WrongState(ceremony.state)
        await tx.run(
            """insert into ceremony_challenges
            (tenant_id, ceremony_id, administrator_id, decision, nonce, expires_at_ms)
            values (:tenant_id, :ceremony_id, :id, :decision, :nonce, :expires)
            on conflict (tenant_id, ceremony_id, administrator_id, decision)
            do update set nonce = excluded.nonce, expires_at_ms = excluded.expires_at_ms""",
            tenant_id=tenant.id,
            ceremony_id=ceremony.id,
            id=person.id,
            decision=decision,
            nonce=nonce,
            expires=tenant.clock.now_ms() + int(CHALLENGE_LIFETIME.total_seconds() * 1000),
        )
        challenge = approval_challenge(bytes.fromhex(ceremony.digest), decision, person.id, nonce)
        return await assertion_options(tx, tenant, person, challenge=challenge)


async def prove_by_passkey(
    acted: Acted, ceremony: Ceremony, decision: Decision, response: dict[str, Any]
) -> dict[str, Any]:
    """Check a passkey's answer; what is stored of it. Raises BadRequest, PasskeyRefused."""
    row = await acted.tx.one(
        """delete from ceremony_challenges where tenant_id = :tenant_id and ceremony_id = :ceremony_id
        and administrator_id = :id and decision = :decision and expires_at_ms > :now returning nonce""",
        tenant_id=acted.tenant.id,
        ceremony_id=ceremony.id,
        id=acted.person.id,
        decision=decision,
        now=acted.tenant.clock.now_ms(),
    )
    if row is None:
        raise BadRequest("This was not asked, or too long ago. Try again.", code="no_challenge")
    nonce = bytes(row[0])
    challenge = approval_challenge(bytes.fromhex(ceremony.digest), decision, acted.person.id, nonce)
    assertion = await verify_assertion(acted.tx, acted.tenant, acted.person, challenge=challenge, response=response)
    return {
        **_who(acted, decision),
        "method": "passkey",
        "assurance": "high",
        "nonce": nonce.hex(),
        "credential_id": assertion.credential_id,
        "public_key": b64u_encode(assertion.public_key).decode(),
        "authenticator_data": b64u_encode(assertion.authenticator_data).decode(),
        "client_data_json": b64u_encode(assertion.client_data_json).decode(),
        "signature": b64u_encode(assertion.signature).decode(),
    }


async def prove_by_code(
    acted: Acted, ceremony: Ceremony, decision: Decision, *, code: str, typed: str
) -> dict[str, Any]:
    """Check an authenticator's code and the typed groups of the digest; what is stored of it."""
    if acted.policy.passkeys_only:
        raise PasskeyNeeded
    if " ".join(typed.lower().split()) != groups(bytes.fromhex(ceremony.digest)):
        raise BadRequest("Type the groups of the digest as they are shown.", code="wrong_digest")
    if not await check_totp(acted.tx, acted.tenant, acted.person, code):
        raise CodeRefused
    await forget(acted.tx, acted.tenant, "ceremony code", acted.person.id)
    return {**_who(acted, decision), "method": "totp", "assurance": "low"}


async def count_code(attempt: Attempt, name: str, ceremony_id: str) -> None:
    """Count a try by itself, so that a refused one counts. Raises TooManyRequests."""
    async with attempt.store.transaction() as tx:
        free = await take_place(
            tx, attempt.tenant, "ceremony code", attempt.acting.administrator.id, limit=MOST_CODES, lasts=CODES_WITHIN
        )
    if not free:
        error = TooManyRequests("There were too many wrong codes. Wait an hour.", retry_after_s=3600)
        await record_refusal(attempt, name, ceremony_id, error)
        raise error


def _who(acted: Acted, decision: Decision) -> dict[str, Any]:
    person = acted.person
    return {
        "decision": decision,
        "person": {"id": person.id, "name": person.name, "email": person.email},
        "session_id": acted.session.id,
        "ip": acted.actor.ip,
    }
