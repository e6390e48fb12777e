"""From a draft to the requester's authorization: what is asked for, whose key it is, and that its owner can read.

Slow work (reading a key, encrypting a word) is done before the transaction, on what the caller saw; the transaction
then insists that the ceremony is still that one.
"""

import asyncio
import re
import secrets
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import msgspec

from freehold.domain.ceremonies.attempts import Acted, Attempt, create, earlier_answer, perform, record_refusal
from freehold.domain.ceremonies.eligibility import NotEligible, check_eligible
from freehold.domain.ceremonies.evidence.executives import get_executive
from freehold.domain.ceremonies.evidence.possession import is_word, seal_word, word_digest
from freehold.domain.ceremonies.evidence.recipient_key import RecipientKey, check_recipient_key, check_several
from freehold.domain.ceremonies.forms import issued_form
from freehold.domain.ceremonies.people import NotYours, is_sole
from freehold.domain.ceremonies.pieces import Piece, add_piece, of_kind, pieces_of, void
from freehold.domain.ceremonies.progress import advance, settle
from freehold.domain.ceremonies.proofs import PasskeyNeeded, count_code, prove_by_code, prove_by_passkey
from freehold.domain.ceremonies.records import (
    Ceremony,
    ChangedMeanwhile,
    WrongState,
    get_ceremony,
    insert_draft,
    new_ceremony_id,
)
from freehold.domain.ceremonies.request import (
    KINDS,
    Kind,
    NamedExecutive,
    NamedRecipient,
    Person,
    Request,
    authorization_text,
)
from freehold.domain.protection import forget, take_place
from freehold.domain.users.identifiers import canonical_email
from freehold.kernel.clock import iso
from freehold.kernel.errors import BadRequest, Forbidden, FreeholdError, TooManyRequests

LONGEST_PURPOSE, SHORTEST_PURPOSE = 1000, 10
MOST_RECIPIENTS = 5
MOST_WORDS, WORDS_WITHIN = 5, timedelta(hours=1)
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Za-z]{2,4})?")


class WrongWord(Forbidden):
    """403: it is not the word that the message holds."""

    code = "wrong_word"

    def __init__(self) -> None:
        super().__init__("This is not the word in the message. Decrypt it, and type what it says.")


class WrongAuthorization(BadRequest):
    """400: the tenant's name or the sentence was not typed as shown."""

    code = "wrong_authorization"

    def __init__(self) -> None:
        super().__init__("Type the tenant's name and the sentence exactly as they are shown.")


class GivenRecipient(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key and whose it is; without an address it is the requester's."""

    key: str
    email: str = ""


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a requester fills in."""

    kinds: tuple[Kind, ...]
    purpose: str
    recipients: tuple[GivenRecipient, ...]
    executive: str
    """The id of an enrolled executive."""
    connections: tuple[str, ...] = ()
    needed_by: str | None = None
    language: str = "en"


async def draft(attempt: Attempt, given: Given) -> Ceremony:
    """Begin a ceremony. Raises BadRequest, KeyRefused and what the rules of who may act raise."""
    try:
        _check_given(attempt, given)
        keys = await _read_keys(attempt, given, attempt.acting.administrator.email)
    except FreeholdError as error:
        await record_refusal(attempt, "draft", "", error)
        raise

    async def body(acted: Acted) -> Ceremony:
        await _check_own_key(acted, attempt)
        request = await _request(acted, given, keys, new_ceremony_id(), revision=1)
        made = await insert_draft(acted.tx, acted.tenant, request, actor=acted.actor)
        await _keep_keys(acted, made, given, keys)
        return made

    return await create(attempt, "draft", body, msgspec.to_builtins(given))


async def change(attempt: Attempt, ceremony_id: str, given: Given, *, version: int | None = None) -> Ceremony:
    """Replace what is asked for: another revision, another digest, and all evidence is void."""
    try:
        _check_given(attempt, given)
        keys = await _read_keys(attempt, given, attempt.acting.administrator.email)
    except FreeholdError as error:
        await record_refusal(attempt, "change", ceremony_id, error)
        raise

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        _check_requester(acted, ceremony)
        await _check_own_key(acted, attempt)
        request = await _request(acted, given, keys, ceremony.id, revision=ceremony.revision + 1)
        voided = await void(acted.tx, acted.tenant, ceremony)
        await acted.tx.run(
            "delete from ceremony_challenges where tenant_id = :tenant_id and ceremony_id = :id",
            tenant_id=acted.tenant.id,
            id=ceremony.id,
        )
        changed = await acted.move(
            ceremony, "change", request=request,
            details={"revision": request.revision, "before": ceremony.digest, "voided": voided},
        )  # fmt: skip
        await _keep_keys(acted, changed, given, keys)
        return changed

    asked = msgspec.to_builtins(given)
    return await perform(attempt, "change", ceremony_id, body, asked=asked, version=version)


async def submit(attempt: Attempt, ceremony_id: str, *, version: int | None = None) -> Ceremony:
    """Let the request begin: keys and rules are checked, and each key's owner gets a word to read.

    A request that the rules do not allow is rejected for good, with the reason.
    """
    seen, keys = await _pieces_before(attempt, ceremony_id)
    try:
        for piece in keys:
            await _check_again(attempt, seen, piece)
        words = [(piece.subject, *await seal_word(piece.details["certificate"])) for piece in keys]
    except FreeholdError as error:
        await record_refusal(attempt, "submit", ceremony_id, error)
        raise

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        _check_requester(acted, ceremony)
        if ceremony.digest != seen.digest:
            raise ChangedMeanwhile
        await _check_names(acted, ceremony.request)
        moved = await acted.move(ceremony, "submit", details={"kinds": list(ceremony.request.kinds)})
        for fingerprint, word, message in words:
            await _keep_word(acted, moved, fingerprint, word, message)
        moved = await advance(acted.tx, acted.tenant, moved, "review")
        try:
            await check_eligible(acted.tx, acted.tenant, acted.person, acted.policy)
        except NotEligible as error:
            return await advance(
                acted.tx, acted.tenant, moved, "reject", reason=error.message, details={"code": error.code}
            )
        if acted.policy.manual_review:
            return moved
        return await advance(acted.tx, acted.tenant, moved, "pass_review")

    return await perform(attempt, "submit", ceremony_id, body, version=version)


async def new_words(attempt: Attempt, ceremony_id: str, *, version: int | None = None) -> Ceremony:
    """Other words, where the first ones were lost."""
    seen, keys = await _pieces_before(attempt, ceremony_id)
    words = [(piece.subject, *await seal_word(piece.details["certificate"])) for piece in keys]

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        _check_requester(acted, ceremony)
        await _check_not_shown(acted, ceremony)
        if ceremony.digest != seen.digest:
            raise ChangedMeanwhile
        await void(acted.tx, acted.tenant, ceremony, kind="word")
        for fingerprint, word, message in words:
            await _keep_word(acted, ceremony, fingerprint, word, message)
        return await acted.note(ceremony, "new_words", details={})

    return await perform(attempt, "new_words", ceremony_id, body, version=version)


async def possess(attempt: Attempt, ceremony_id: str, words: Sequence[str], *, version: int | None = None) -> Ceremony:
    """Show that every recipient can decrypt: the words of all messages, in the order of the recipients.

    The form is issued with this, so nobody signs before.
    """
    asked = {"words": list(words)}
    if (done := await earlier_answer(attempt, "possess", ceremony_id, asked)) is not None:
        return done
    await _count_try(attempt, "possess", ceremony_id)
    seen = await get_ceremony(attempt.store, attempt.tenant, ceremony_id)
    form = await asyncio.to_thread(issued_form, seen.request)

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        _check_requester(acted, ceremony)
        pieces = await _check_not_shown(acted, ceremony)
        if ceremony.digest != seen.digest:
            raise ChangedMeanwhile
        open_words = {piece.subject: piece for piece in of_kind(pieces, "word")}
        named = [recipient.fingerprint for recipient in ceremony.request.recipients]
        right = [
            is_word(given, open_words[name].details["word_sha256"]) for given, name in zip(words, named, strict=False)
        ]
        if len(words) != len(named) or not all(right):
            raise WrongWord
        for name in named:
            await add_piece(
                acted.tx, acted.tenant, ceremony, "possession", subject=name,
                details={"word_sha256": open_words[name].details["word_sha256"], "by": acted.person.id},
            )  # fmt: skip
        await add_piece(acted.tx, acted.tenant, ceremony, "form", subject="form", content=form, details={})
        await forget(acted.tx, acted.tenant, "ceremony word", ceremony.id)
        return await acted.note(ceremony, "possess", details={"keys": named})

    return await perform(attempt, "possess", ceremony_id, body, asked=asked, version=version)


async def authorize(
    attempt: Attempt,
    ceremony_id: str,
    *,
    tenant_name: str,
    text: str,
    code: str = "",
    digest_groups: str = "",
    response: dict[str, Any] | None = None,
    version: int | None = None,
) -> Ceremony:
    """The requester's own word: the tenant's name and the sentence that holds the digest, typed.

    Whoever is the only administrator shows two factors of different kinds as well, a code and a passkey.
    """
    asked = {"tenant_name": tenant_name, "text": text}
    if (done := await earlier_answer(attempt, "authorize", ceremony_id, asked)) is not None:
        return done
    if code:
        await count_code(attempt, "authorize", ceremony_id)

    async def body(acted: Acted, ceremony: Ceremony) -> Ceremony:
        _check_requester(acted, ceremony)
        if ceremony.state != "requirements_pending":
            raise WrongState(ceremony.state)
        pieces = await pieces_of(acted.tx, acted.tenant, ceremony)
        if not of_kind(pieces, "possession"):
            raise WrongState("requirements_pending without proof that the key works")
        wanted = authorization_text(ceremony.request)
        if tenant_name.strip() != acted.tenant.name or " ".join(text.split()) != wanted:
            raise WrongAuthorization
        factors: list[dict[str, Any]] = []
        if await is_sole(acted.tx, acted.tenant, acted.person):
            if response is None:
                raise PasskeyNeeded
            factors.append(await prove_by_passkey(acted, ceremony, "authorize", response))
            factors.append(await prove_by_code(acted, ceremony, "authorize", code=code, typed=digest_groups))
        await add_piece(
            acted.tx, acted.tenant, ceremony, "authorization", subject=acted.person.id, content=wanted.encode(),
            details={"tenant_name": acted.tenant.name, "person": _shown(acted), "factors": factors},
        )  # fmt: skip
        noted = await acted.note(ceremony, "authorize", details={"alone": bool(factors)})
        return await settle(acted.tx, acted.tenant, noted, acted.policy)

    return await perform(attempt, "authorize", ceremony_id, body, asked=asked, version=version)


async def _check_not_shown(acted: Acted, ceremony: Ceremony) -> list[Piece]:
    if ceremony.state != "requirements_pending":
        raise WrongState(ceremony.state)
    pieces = await pieces_of(acted.tx, acted.tenant, ceremony)
    if of_kind(pieces, "possession"):
        raise ChangedMeanwhile
    return pieces


def _shown(acted: Acted) -> dict[str, Any]:
    actor = acted.actor
    return {
        "id": actor.id, "name": acted.person.name, "email": actor.email, "session_id": actor.session_id,
        "mfa_at": None if actor.mfa_at_ms is None else iso(actor.mfa_at_ms), "ip": actor.ip,
    }  # fmt: skip


def _check_requester(acted: Acted, ceremony: Ceremony) -> None:
    if acted.person.id != ceremony.requester_id:
        raise NotYours("Only the requester can do this.")


async def _check_own_key(acted: Acted, attempt: Attempt) -> None:
    if acted.person.email != attempt.acting.administrator.email:
        raise ChangedMeanwhile


async def _check_names(acted: Acted, request: Request) -> None:
    person = request.requester
    if (person.email, person.name) != (acted.person.email, acted.person.name) or request.tenant != acted.tenant.name:
        raise ChangedMeanwhile
    await get_executive(acted.tx, acted.tenant, request.executive.id)


def _check_given(attempt: Attempt, given: Given) -> None:
    if not given.kinds or len(set(given.kinds)) != len(given.kinds):
        raise BadRequest("Say which kinds of secrets are to leave, each once.", code="no_kinds")
    if not SHORTEST_PURPOSE <= len(given.purpose.strip()) <= LONGEST_PURPOSE or not given.purpose.isprintable():
        raise BadRequest(
            f"Say what the export is for, in {SHORTEST_PURPOSE} to {LONGEST_PURPOSE} characters on one line.",
            code="bad_purpose",
        )
    if not 1 <= len(given.recipients) <= MOST_RECIPIENTS:
        raise BadRequest(f"An export has 1 to {MOST_RECIPIENTS} recipients' keys.", code="bad_recipients")
    if not _LANGUAGE.fullmatch(given.language):
        raise BadRequest("The language is a code such as en or de.", code="bad_language")
    if given.needed_by is not None:
        try:
            needed = date.fromisoformat(given.needed_by)
        except ValueError:
            raise BadRequest("The date by which it is needed looks like 2026-12-31.", code="bad_date") from None
        if needed < attempt.tenant.clock.now().date() or needed.isoformat() != given.needed_by:
            raise BadRequest("The date by which it is needed lies in the past.", code="bad_date")


async def _read_keys(attempt: Attempt, given: Given, email: str) -> list[RecipientKey]:
    policy = attempt.policy
    keys = [
        await check_recipient_key(
            recipient.key, email=recipient.email or email, now=attempt.tenant.clock.now(),
            retention_days=policy.retention_days, policy=policy.key_policy,
        )
        for recipient in given.recipients
    ]  # fmt: skip
    check_several(keys)
    return keys


async def _check_again(attempt: Attempt, ceremony: Ceremony, piece: Piece) -> None:
    policy = attempt.policy_for(ceremony)
    await check_recipient_key(
        piece.content.decode(), email=piece.details["email"], now=attempt.tenant.clock.now(),
        retention_days=policy.retention_days, policy=policy.key_policy,
    )  # fmt: skip


async def _request(
    acted: Acted, given: Given, keys: Sequence[RecipientKey], ceremony_id: str, *, revision: int
) -> Request:
    tenant, person = acted.tenant, acted.person
    executive = await get_executive(acted.tx, tenant, given.executive)
    if canonical_email(executive.email) == canonical_email(person.email):
        raise BadRequest("The executive who signs is to be another person than the requester.", code="own_signature")
    return Request(
        tenant_id=tenant.id,
        tenant=tenant.name,
        domain=tenant.domain,
        ceremony_id=ceremony_id,
        revision=revision,
        kinds=tuple(kind for kind in KINDS if kind in given.kinds),
        connections=tuple(sorted(set(given.connections))),
        purpose=given.purpose.strip(),
        needed_by=given.needed_by,
        recipients=tuple(
            NamedRecipient(
                email=recipient.email or person.email, fingerprint=key.fingerprint, sha256=key.sha256,
                subkeys=tuple(sorted(key.encryption_subkeys)),
            )
            for recipient, key in zip(given.recipients, keys, strict=True)
        ),
        requester=Person(id=person.id, name=person.name, email=person.email),
        executive=NamedExecutive(
            id=executive.id, name=executive.name, title=executive.title, email=executive.email
        ),
        language=given.language,
        retention_days=acted.policy.retention_days,
        download_limit=acted.policy.download_limit,
        nonce=secrets.token_hex(16),
        policy=acted.policy.snapshot,
        created_at=iso(tenant.clock.now_ms()),
    )  # fmt: skip


async def _keep_keys(acted: Acted, ceremony: Ceremony, given: Given, keys: Sequence[RecipientKey]) -> None:
    for recipient, key in zip(given.recipients, keys, strict=True):
        await add_piece(
            acted.tx, acted.tenant, ceremony, "recipient_key", subject=key.fingerprint, content=recipient.key.encode(),
            details={
                "email": recipient.email or acted.person.email, "certificate": key.certificate,
                "subkeys": sorted(key.encryption_subkeys), "user_ids": list(key.user_ids), "algorithm": key.algorithm,
                "bits": key.bits, "readers": list(key.readers),
                "expires_at": None if key.expires_at is None else iso(key.expires_at),
            },
        )  # fmt: skip


async def _keep_word(acted: Acted, ceremony: Ceremony, fingerprint: str, word: str, message: str) -> None:
    await add_piece(
        acted.tx, acted.tenant, ceremony, "word", subject=fingerprint, content=message.encode(),
        details={"word_sha256": word_digest(word)},
    )  # fmt: skip


async def _pieces_before(attempt: Attempt, ceremony_id: str) -> tuple[Ceremony, list[Piece]]:
    ceremony = await get_ceremony(attempt.store, attempt.tenant, ceremony_id)
    return ceremony, of_kind(await pieces_of(attempt.store, attempt.tenant, ceremony), "recipient_key")


async def _count_try(attempt: Attempt, name: str, ceremony_id: str) -> None:
    """Count a try by itself, so that a refused one counts. Raises TooManyRequests."""
    async with attempt.store.transaction() as tx:
        free = await take_place(
            tx, attempt.tenant, "ceremony word", ceremony_id[:64], limit=MOST_WORDS, lasts=WORDS_WITHIN
        )
    if not free:
        error = TooManyRequests("There were too many wrong words. Wait an hour.", retry_after_s=3600)
        await record_refusal(attempt, name, ceremony_id, error)
        raise error
