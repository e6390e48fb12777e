"""The ceremony for scripts and commands: JSON over a session that a person opened with a second factor.

Everything is done by `domain.ceremonies`; here bodies become arguments. A header `Idempotency-Key` makes a call safe to
repeat. A Management API token sees the list of ceremonies with their states, and can do nothing else.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from freehold.domain import audit, ceremonies
from freehold.domain.administrators import Role, require_admin
from freehold.domain.ceremonies import Attempt, Ceremony, Given
from freehold.domain.ceremonies.bundle import write_bundle
from freehold.domain.ceremonies.pieces import Piece, of_kind
from freehold.domain.ceremonies.proofs import Decision
from freehold.kernel.clock import iso
from freehold.kernel.errors import BadRequest, Unauthorized
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json
from freehold.kernel.http.router import Router
from freehold.surfaces.ceremony.delivery.access import actor_of
from freehold.surfaces.ceremony.delivery.artefacts import Gone, artefact_of
from freehold.surfaces.ceremony.delivery.download import answer_download
from freehold.surfaces.ceremony.delivery.tickets import issue_ticket
from freehold.surfaces.ceremony.refusals import watched
from freehold.surfaces.dashboard import JSON_FAMILY

PREFIX = "/admin/api/ceremonies"
FRESH_S = 300
LONGEST_BODY = 300_000
LARGEST_FORM = 11 << 20
STATUS_SCOPE = "read:logs"
"""Who may read the tenant's log may see which exports there were."""


# --- reading -----------------------------------------------------------------------------------------------------


async def list_all(request: Request) -> Response:
    """GET: the newest first; for a Management API token only what state each is in."""
    store, tenant = request.services.store, request.tenant
    found = await ceremonies.list_ceremonies(store, tenant)
    if _is_machine(request):
        await _check_machine(request)
        return json([_status(ceremony) for ceremony in found])
    await require_admin(request)
    return json([_shown(ceremony) for ceremony in found])


async def show(request: Request) -> Response:
    """GET {id}: everything an administrator sees, with what is still to be done."""
    store, tenant = request.services.store, request.tenant
    if _is_machine(request):
        await _check_machine(request)
        return json(_status(await ceremonies.get_ceremony(store, tenant, request.params["id"])))
    acting = await require_admin(request)
    ceremony = await ceremonies.get_ceremony(store, tenant, request.params["id"])
    pieces = await ceremonies.pieces_of(store, tenant, ceremony)
    whose = acting.administrator.id == ceremony.requester_id
    return json({**_shown(ceremony), **_evidence(ceremony, pieces, requester=whose)})


async def show_policy(request: Request) -> Response:
    """GET policy: what a request of now would have to fulfil."""
    await require_admin(request)
    return json(ceremonies.policy_of(request.services.settings, request.tenant).snapshot)


async def download_form(request: Request) -> Response:
    """GET {id}/form: the PDF to be signed."""
    await require_admin(request)
    ceremony = await ceremonies.get_ceremony(request.services.store, request.tenant, request.params["id"])
    forms = of_kind(await ceremonies.pieces_of(request.services.store, request.tenant, ceremony), "form")
    if not forms:
        raise ceremonies.WrongState(ceremony.state)
    headers = [("content-disposition", 'attachment; filename="acknowledgement.pdf"'), ("cache-control", "no-store")]
    return Response(200, forms[0].content, headers, content_type="application/pdf")


async def download_receipt(request: Request) -> Response:
    """GET {id}/receipt: the bundle for `freehold ceremony verify`."""
    await require_admin(request)
    ceremony = await ceremonies.get_ceremony(request.services.store, request.tenant, request.params["id"])
    bundle = await write_bundle(request.services.store, request.tenant, ceremony)
    headers = [("content-disposition", f'attachment; filename="{ceremony.id}.zip"'), ("cache-control", "no-store")]
    return Response(200, bundle, headers, content_type="application/zip")


async def show_audit_keys(request: Request) -> Response:
    """GET /.well-known/freehold-audit-keys: the keys that tree heads and receipts of this tenant are signed with."""
    found = await audit.public_keys(request.services.store, request.tenant)
    head = await audit.latest_head(request.services.store, request.tenant)
    shown = [{"kid": kid, "public_key": raw.hex()} for kid, raw in found.items()]
    return json({"keys": shown, "head": None if head is None else head.shown})


async def show_export_keys(request: Request) -> Response:
    """GET /.well-known/freehold-export-keys: the certificates by which a signed export is known to be this tenant's."""
    found = await ceremonies.export_certificates(request.services.store, request.tenant)
    return Response(200, "".join(found.values()).encode(), content_type="application/pgp-keys")


# --- acting ------------------------------------------------------------------------------------------------------


async def draft(request: Request) -> Response:
    """POST: {kinds, purpose, recipients: [{key, email?}], executive, connections?, needed_by?, language?}."""
    attempt = await _attempt(request)
    return json(_shown(await ceremonies.draft(attempt, await _given(request))), 201)


async def change(request: Request) -> Response:
    """PUT {id}: the same body; everything that was handed in is void."""
    attempt = await _attempt(request)
    return await _answer(ceremonies.change(attempt, request.params["id"], await _given(request)))


async def submit(request: Request) -> Response:
    """POST {id}/submit."""
    return await _answer(ceremonies.submit(await _attempt(request), request.params["id"]))


async def new_words(request: Request) -> Response:
    """POST {id}/words: other words, where the messages were lost."""
    return await _answer(ceremonies.new_words(await _attempt(request), request.params["id"]))


async def possess(request: Request) -> Response:
    """POST {id}/possess: {words}, one for each recipient."""
    attempt, body = await _attempt(request), await _body(request)
    words = body.get("words")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise BadRequest("words is a list of texts.")
    return await _answer(ceremonies.possess(attempt, request.params["id"], words))


async def authorize(request: Request) -> Response:
    """POST {id}/authorize: {tenant, text}; for the only administrator also {code, digest, passkey}."""
    attempt, body = await _attempt(request), await _body(request)
    return await _answer(
        ceremonies.authorize(
            attempt, request.params["id"], tenant_name=_text(body, "tenant"), text=_text(body, "text"),
            code=_text(body, "code"), digest_groups=_text(body, "digest"), response=_object(body, "passkey"),
        )
    )  # fmt: skip


async def ask(request: Request) -> Response:
    """POST {id}/challenge: {decision}; what `navigator.credentials.get` is asked for."""
    attempt, body = await _attempt(request), await _body(request)
    return json(await ceremonies.ask_to_decide(attempt, request.params["id"], _decision(body)))


async def decide(request: Request) -> Response:
    """POST {id}/decision: {decision, passkey} or {decision, code, digest}, and {reason} for a rejection."""
    attempt, body = await _attempt(request), await _body(request)
    return await _answer(
        ceremonies.decide(
            attempt, request.params["id"], _decision(body), response=_object(body, "passkey"), code=_text(body, "code"),
            digest_groups=_text(body, "digest"), reason=_text(body, "reason"),
        )
    )  # fmt: skip


async def upload(request: Request) -> Response:
    """POST {id}/signature?kind=pdf: the body is the signed form, or the signature of it."""
    attempt = await _attempt(request)
    kind: Any = request.query.one("kind") or "pdf"
    content = await request.body(LARGEST_FORM)
    return await _answer(ceremonies.upload_form(attempt, request.params["id"], kind, content))


async def confirm_scan(request: Request) -> Response:
    """POST {id}/scan: {channel}, by which the executive confirmed the scanned signature."""
    attempt, body = await _attempt(request), await _body(request)
    return await _answer(ceremonies.confirm_scan(attempt, request.params["id"], channel=_text(body, "channel")))


async def cancel(request: Request) -> Response:
    """POST {id}/cancel: {reason?}; a file that is there is destroyed."""
    attempt, body = await _attempt(request), await _body(request)
    return await _answer(ceremonies.cancel(attempt, request.params["id"], reason=_text(body, "reason")))


# --- the file ----------------------------------------------------------------------------------------------------


async def make_ticket(request: Request) -> Response:
    """POST {id}/tickets: a ticket that opens the download once, within a minute, for this session."""
    acting = await require_admin(request, fresh_s=FRESH_S, role="admin")
    store, tenant = request.services.store, request.tenant
    ceremony = await ceremonies.get_ceremony(store, tenant, request.params["id"])
    artefact = await artefact_of(store, tenant, ceremony.id)
    if artefact is None or ceremony.state not in {"ready", "downloaded"}:
        raise Gone("There is no file to be had.")
    async with store.transaction() as tx:
        value, found = await issue_ticket(tx, tenant, artefact.id, actor_of(acting, request.client_ip))
    return json({"ticket": value, "size": found.size, "sha256": found.sha256}, 201)


async def download(request: Request) -> Response:
    """GET or HEAD {id}/file?ticket=..."""
    acting = await require_admin(request, role="admin")
    return await answer_download(request, acting, request.query.one("ticket") or "")


Handler = Callable[[Request], Awaitable[Response]]
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", list_all),
    ("POST", "", draft),
    ("GET", "/{id}", show),
    ("PUT", "/{id}", change),
    ("GET", "/{id}/form", download_form),
    ("GET", "/{id}/receipt", download_receipt),
    ("POST", "/{id}/submit", submit),
    ("POST", "/{id}/words", new_words),
    ("POST", "/{id}/possess", possess),
    ("POST", "/{id}/authorize", authorize),
    ("POST", "/{id}/challenge", ask),
    ("POST", "/{id}/decision", decide),
    ("POST", "/{id}/signature", upload),
    ("POST", "/{id}/scan", confirm_scan),
    ("POST", "/{id}/cancel", cancel),
    ("POST", "/{id}/tickets", make_ticket),
    ("GET", "/{id}/file", download),
    ("HEAD", "/{id}/file", download),
)


def add_routes(router: Router) -> None:
    """The routes of this module."""
    for method, path, handler in ROUTES:
        name = f"ceremony.api.{path.strip('/').replace('/', '.') or 'all'}.{method.lower()}"
        limit = LARGEST_FORM if path.endswith("/signature") else LONGEST_BODY
        router.add(method, f"{PREFIX}{path}", watched(handler), name=name, family=JSON_FAMILY, max_body=limit)
    router.add("GET", "/admin/api/ceremony-policy", show_policy, name="ceremony.api.policy", family=JSON_FAMILY)
    router.add(
        "GET", "/.well-known/freehold-audit-keys", show_audit_keys, name="ceremony.audit_keys", family=JSON_FAMILY
    )
    router.add(
        "GET", "/.well-known/freehold-export-keys", show_export_keys, name="ceremony.export_keys", family=JSON_FAMILY
    )


# --- shapes ------------------------------------------------------------------------------------------------------


def _status(ceremony: Ceremony) -> dict[str, Any]:
    """What a machine may know."""
    return {
        "id": ceremony.id,
        "state": ceremony.state,
        "created_at": iso(ceremony.created_at_ms),
        "state_since": iso(ceremony.state_since_ms),
    }


def _shown(ceremony: Ceremony) -> dict[str, Any]:
    request, value = ceremony.request, bytes.fromhex(ceremony.digest)
    return {
        **_status(ceremony),
        "version": ceremony.version,
        "revision": ceremony.revision,
        "digest": ceremony.digest,
        "groups": ceremonies.groups(value),
        "request": msgspec.to_builtins(request),
        "relaxed": request.policy.get("relaxed", []),
        "deadline": None if ceremony.deadline_ms is None else iso(ceremony.deadline_ms),
        "not_before": None if ceremony.not_before_ms is None else iso(ceremony.not_before_ms),
        "artefact": ceremony.artefact,
        "downloads": ceremony.downloads,
        "reason": ceremony.reason,
    }


def _evidence(ceremony: Ceremony, pieces: list[Piece], *, requester: bool) -> dict[str, Any]:
    """What was handed in, what is missing, and for the requester what is to be decrypted and typed."""
    missing = [
        name
        for name, kind in (
            ("possession", "possession"), ("authorization", "authorization"), ("approval", "approval"),
            ("signature", "signature"),
        )
        if not of_kind(pieces, kind)  # type: ignore[arg-type]
    ]  # fmt: skip
    shown: dict[str, Any] = {
        "missing": missing if ceremony.state == "requirements_pending" else [],
        "evidence": [
            {
                "kind": piece.kind,
                "by": piece.subject,
                "accepted_at": iso(piece.accepted_at_ms),
                "receipt": piece.receipt,
            }
            for piece in pieces
        ],
    }
    if requester:
        shown["messages"] = {piece.subject: piece.content.decode() for piece in of_kind(pieces, "word")}
        shown["authorization_text"] = ceremonies.authorization_text(ceremony.request)
    return shown


# --- what comes in -----------------------------------------------------------------------------------------------


async def _attempt(request: Request, role: Role = "admin") -> Attempt:
    """Somebody who may act, with both factors shown minutes ago. A Management API token is nobody here."""
    acting = await require_admin(request, fresh_s=FRESH_S, role=role)
    services = request.services
    return Attempt(
        store=services.store, tenant=request.tenant, settings=services.settings, acting=acting, ip=request.client_ip,
        key=request.headers.get("idempotency-key", ""),
    )  # fmt: skip


async def _answer(work: Awaitable[Ceremony]) -> Response:
    return json(_shown(await work))


async def _given(request: Request) -> Given:
    try:
        return msgspec.json.decode(await request.json_bytes(LONGEST_BODY), type=Given)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"The request cannot be read: {error}", code="invalid_body") from None


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.json_bytes(LONGEST_BODY)
    try:
        value = msgspec.json.decode(raw or b"{}")
    except msgspec.MsgspecError:
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise BadRequest("The body is a JSON object.")
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise BadRequest(f"{name} is a text.")
    return value


def _object(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadRequest(f"{name} is an object.")
    return value


def _decision(body: dict[str, Any]) -> Decision:
    match body.get("decision"):
        case "approve":
            return "approve"
        case "reject":
            return "reject"
        case "authorize":
            return "authorize"
    raise BadRequest("decision is approve, reject or authorize.")


def _is_machine(request: Request) -> bool:
    """Whether the token shown is a JWT, as access tokens are and sessions are not."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and value.count(".") == 2


async def _check_machine(request: Request) -> None:
    value = request.headers["authorization"].partition(" ")[2].strip()
    claims = await request.services.verify_management_token(request.tenant, value)
    if STATUS_SCOPE not in str(claims.get("scope", "")).split():
        raise Unauthorized(f"This needs the scope {STATUS_SCOPE}.", code="insufficient_scope")
