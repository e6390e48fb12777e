"""Handing out a sealed export: the OpenPGP message, streamed out of its outer layer.

Looking (HEAD) uses nothing up. Every byte that is about to leave is counted before it does, so that a crash errs on the
side of having sent it; while a download lasts it is asked again and again whether it still may.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec

from freehold.domain.administrators import Acting
from freehold.domain.audit import AuditActor
from freehold.kernel import log
from freehold.kernel.config import Settings
from freehold.kernel.crypto.chunks import CHUNK_BYTES, HEADER_BYTES, SEALED_CHUNK_BYTES, ChunkOpener
from freehold.kernel.crypto.sealing import Keyring
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import BadRequest, Forbidden, FreeholdError, Unavailable
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, stream
from freehold.kernel.store import Store
from freehold.surfaces.ceremony.build.builder import key_context
from freehold.surfaces.ceremony.delivery.access import actor_of, record_access
from freehold.surfaces.ceremony.delivery.artefacts import (
    Artefact,
    Gone,
    digest_headers,
    find_artefact,
    released_to,
    wrapped_key,
)
from freehold.surfaces.ceremony.delivery.deadlines import UptimeReader, read_uptime
from freehold.surfaces.ceremony.delivery.destruction import destroy
from freehold.surfaces.ceremony.delivery.ranges import wanted_part
from freehold.surfaces.ceremony.delivery.stores import ArtefactStore, store_named
from freehold.surfaces.ceremony.delivery.tickets import Ticket, find_ticket, open_ticket
from freehold.surfaces.ceremony.working import follow_download

CONTENT_TYPE = "application/octet-stream"
RUN_CHUNKS = 16
"""Chunks that are read and opened together: a mebibyte."""
ASKED_AGAIN_BYTES = 8 << 20
_PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")

_log = log.get_logger("ceremony")


class _Delivery(msgspec.Struct, frozen=True):
    """One download that may begin."""

    store: Store
    settings: Settings
    tenant: TenantScope
    artefact: Artefact
    place: ArtefactStore
    opener: ChunkOpener
    actor: AuditActor
    start: int
    end: int
    uptime: UptimeReader

    @property
    def length(self) -> int:
        return self.end - self.start


async def answer_download(
    request: Request, acting: Acting, value: str, *, uptime: UptimeReader = read_uptime
) -> Response:
    """The answer to GET or HEAD with a ticket, for an administrator who is signed in.

    Raises Gone, Forbidden for another session's ticket, RangeNotSatisfiable, BadRequest for a prefetch.
    """
    tenant: TenantScope = request.tenant
    store: Store = request.services.store
    if any("prefetch" in request.headers.get(name, "").lower() for name in _PREFETCH_HEADERS):
        raise BadRequest("An export is not fetched ahead of time.", code="no_prefetch")
    actor = actor_of(acting, request.client_ip)
    ticket = await find_ticket(store, tenant, value)
    if ticket is None:
        raise Gone("There is no such link, or it is over.", code="ticket_unknown")
    try:
        artefact = await _check(store, tenant, ticket, actor, uptime)
        etag = f'"{artefact.sha256}"'
        part = wanted_part(
            request.headers.get("range"), request.headers.get("if-range"), etag=etag, size=artefact.size
        )  # fmt: skip
        start, end = part or (0, artefact.size)
        headers = [
            ("content-disposition", f'attachment; filename="{artefact.file_name}"'),
            ("content-length", str(end - start)),
            ("accept-ranges", "bytes"),
            ("etag", etag),
            *digest_headers(artefact),
        ]
        if part is not None:
            headers.append(("content-range", f"bytes {start}-{end - 1}/{artefact.size}"))
        status = 200 if part is None else 206
        if request.method == "HEAD":
            return stream(_nothing(), status, headers, content_type=CONTENT_TYPE)
        delivery = await _begin(request, tenant, artefact, ticket, actor, start, end, uptime)
    except FreeholdError as error:
        await _record_refusal(store, tenant, ticket, actor, error)
        raise
    return stream(_send(delivery), status, headers, content_type=CONTENT_TYPE)


async def _check(
    store: Store, tenant: TenantScope, ticket: Ticket, actor: AuditActor, uptime: UptimeReader
) -> Artefact:
    if (ticket.administrator_id, ticket.session_id) != (actor.id, actor.session_id):
        raise Forbidden("This link belongs to another session.", code="foreign_ticket")
    artefact, _ = await released_to(store, tenant, ticket.artefact_id, actor.id, uptime=uptime)
    if ticket.is_over(tenant.clock.now_ms()):
        raise Gone("The link was good for a minute, which is over. Ask for another.", code="ticket_expired")
    return artefact


async def _begin(
    request: Request,
    tenant: TenantScope,
    artefact: Artefact,
    ticket: Ticket,
    actor: AuditActor,
    start: int,
    end: int,
    uptime: UptimeReader,
) -> _Delivery:
    """Open the file, then use the ticket and count the bytes, together with the entry that says so."""
    store, settings = request.services.store, request.services.settings
    keyring: Keyring = request.services.keyring
    place = store_named(settings, artefact.place)
    header = b"".join([piece async for piece in place.read(artefact.id, 0, HEADER_BYTES)])
    context = key_context(tenant.id, artefact.id)
    async with store.transaction() as tx:
        await released_to(tx, tenant, artefact.id, actor.id, uptime=uptime)
        key = keyring.unwrap(await wrapped_key(tx, tenant, artefact), context=context)
        opener = ChunkOpener(key, header, artefact.sealed_size, context=context)
        began = await open_ticket(tx, tenant, ticket, start=start)
        counted = await tx.run(
            """update ceremony_artefacts set sent_bytes = sent_bytes + :length
            where tenant_id = :tenant_id and id = :id and state = 'ready' and downloads < download_limit
            and sent_bytes < download_limit * size""",
            tenant_id=tenant.id,
            id=artefact.id,
            length=end - start,
        )
        if not counted:
            raise Gone("The export was downloaded as often as it may be.", code="download_limit_reached")
        await record_access(
            tx, tenant, artefact, actor, "started" if began else "continued", first=start, last=end - 1
        )  # fmt: skip
    return _Delivery(store, settings, tenant, artefact, place, opener, actor, start, end, uptime)


async def _send(delivery: _Delivery) -> AsyncIterator[bytes]:
    """The wanted bytes. What was not sent in the end is given back, and how it ended is written down."""
    sent, asked_again_at, ended = 0, ASKED_AGAIN_BYTES, False
    try:
        async for piece in _plain(delivery):
            if sent >= asked_again_at:
                artefact = delivery.artefact
                await _check_again(delivery.store, delivery.tenant, artefact, delivery.actor, delivery.uptime)
                asked_again_at = sent + ASKED_AGAIN_BYTES
            # Counted before it is handed over: it may have left although the rest fails.
            sent += len(piece)
            yield piece
        ended = sent == delivery.length
    except Gone as error:
        _log.warning("download_stopped", artefact_id=delivery.artefact.id, reason=error.code)
        raise
    finally:
        # In a task of its own, because whoever reads may have gone and cancelled this one.
        finishing = asyncio.ensure_future(_finish(delivery, sent, ended=ended))
        await asyncio.shield(finishing)


async def _check_again(
    store: Store, tenant: TenantScope, artefact: Artefact, actor: AuditActor, uptime: UptimeReader
) -> None:
    """Whether a download that has begun may go on; its own bytes are counted already. Raises Gone."""
    try:
        await released_to(store, tenant, artefact.id, actor.id, uptime=uptime)
    except Gone as error:
        if error.code != "download_limit_reached":
            raise


async def _plain(delivery: _Delivery) -> AsyncIterator[bytes]:
    begin, until = delivery.opener.place(delivery.start, delivery.end)
    at, skip, left = begin, delivery.start % CHUNK_BYTES, delivery.length
    buffer = bytearray()
    run_bytes = RUN_CHUNKS * SEALED_CHUNK_BYTES

    async def opened(sealed: bytes) -> bytes:
        nonlocal at, skip, left
        plain = await asyncio.to_thread(lambda: b"".join(delivery.opener.open_run(at, sealed)))
        at += len(sealed)
        plain = plain[skip : skip + left]
        skip = 0
        left -= len(plain)
        return plain

    async for piece in delivery.place.read(delivery.artefact.id, begin, until):
        buffer += piece
        while len(buffer) >= run_bytes:
            sealed = bytes(buffer[:run_bytes])
            del buffer[:run_bytes]
            yield await opened(sealed)
    if buffer:
        yield await opened(bytes(buffer))


async def _finish(delivery: _Delivery, sent: int, *, ended: bool) -> None:
    """Write down how a download ended; the last byte of the message makes it a whole one."""
    artefact, tenant, store = delivery.artefact, delivery.tenant, delivery.store
    whole = ended and delivery.end == artefact.size
    try:
        async with store.transaction() as tx:
            await tx.run(
                """update ceremony_artefacts set sent_bytes = sent_bytes - :unsent, downloads = downloads + :whole
                where tenant_id = :tenant_id and id = :id""",
                tenant_id=tenant.id,
                id=artefact.id,
                unsent=delivery.length - sent,
                whole=int(whole),
            )
            if whole:
                # The ceremony counts it too, tells everybody, and ends when it was the last one allowed.
                followed = await follow_download(tx, tenant, artefact, delivery.actor, sent=sent)
                if not followed:
                    await record_access(tx, tenant, artefact, delivery.actor, "completed", sent=sent)
            elif not ended:
                await record_access(
                    tx, tenant, artefact, delivery.actor, "broken_off", first=delivery.start, sent=sent
                )  # fmt: skip
    except Unavailable as error:
        _log.error("download_end_not_recorded", artefact_id=artefact.id, reason=error.code)
        return
    if whole and (artefact.ends_with_download or artefact.downloads + 1 >= artefact.download_limit):
        await destroy(store, delivery.settings, tenant, artefact.id, because="it was downloaded")


async def _record_refusal(
    store: Store, tenant: TenantScope, ticket: Ticket, actor: AuditActor, error: FreeholdError
) -> None:
    artefact = await find_artefact(store, tenant, ticket.artefact_id)
    if artefact is None:
        return
    with suppress(Unavailable):  # nothing was released, so the refusal stands without its entry
        async with store.transaction() as tx:
            await record_access(tx, tenant, artefact, actor, "refused", reason=error.code)
        error.is_recorded = True


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
