"""One ceremony as a checklist from top to bottom: what is asked for, who did what, what is missing, and its forms."""

import json
from typing import Any, Literal

import msgspec

from freehold.domain import audit, ceremonies
from freehold.domain.administrators import Acting, list_administrators, require_admin
from freehold.domain.ceremonies import Ceremony, Piece, Policy
from freehold.domain.ceremonies.evidence.executives import find_executive
from freehold.domain.ceremonies.people import is_sole
from freehold.domain.ceremonies.pieces import of_kind
from freehold.domain.ceremonies.signing import ask_to_sign
from freehold.domain.ceremonies.states import BEFORE_BUILD, DRAFT, PREPARING, WITH_FILE
from freehold.kernel.errors import FreeholdError, NotFound
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.http.response import json as json_answer
from freehold.surfaces.ceremony.delivery.access import actor_of
from freehold.surfaces.ceremony.delivery.artefacts import Gone, artefact_of
from freehold.surfaces.ceremony.delivery.tickets import issue_ticket
from freehold.surfaces.ceremony.pages.frame import (
    EXPORTS,
    SCREENS,
    Entered,
    attempt_of,
    enter,
    fresh,
    fresh_at,
    is_fresh,
    time_left,
    uploaded,
    version_of,
)
from freehold.surfaces.ceremony.refusals import note_refused
from freehold.surfaces.dashboard.visitors import go

Status = Literal["done", "now", "later", "void"]
SIGNATURE_KINDS = ("pdf", "cms", "openpgp", "scan")


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the checklist; `name` chooses its texts and forms."""

    name: str
    status: Status
    done: tuple[tuple[str, int], ...] = ()
    """Who did it, and when."""


async def show(request: Request) -> Response:
    """GET /admin/exports/{id}."""
    acting = await require_admin(request)
    return await page(request, acting, await _ceremony(request))


async def page(
    request: Request,
    acting: Acting,
    ceremony: Ceremony,
    *,
    problem: Any = None,
    typed: Parameters | None = None,
    at: str = "",
) -> Response:
    """The checklist. `problem` is shown at the form named `at`, with what was typed there, or else on top."""
    store, tenant = request.services.store, request.tenant
    pieces = await ceremonies.pieces_of(store, tenant, ceremony)
    policy = ceremonies.policy_in_force(request.services.settings, tenant, ceremony.request.policy)
    administrators = {person.id: person for person in await list_administrators(store, tenant)}
    executive = await find_executive(store, tenant, ceremony.request.executive.id)
    person, now = acting.administrator, tenant.clock.now_ms()
    entries = await audit.entries_of(store, tenant, ceremony.id)
    requester = administrators.get(ceremony.requester_id)
    artefact = await artefact_of(store, tenant, ceremony.id)
    return await SCREENS.render(
        request, acting, "ceremony.html", active="exports", ceremony=ceremony, asked=ceremony.request,
        groups=ceremonies.groups(bytes.fromhex(ceremony.digest)), steps=steps_of(ceremony, pieces, policy),
        policy=policy, own=person.id == ceremony.requester_id, may_act=person.may("admin"),
        fresh=is_fresh(acting, now), sole=requester is not None and await is_sole(store, tenant, requester),
        sentence=ceremonies.authorization_text(ceremony.request), found_pieces=pieces, of_kind=of_kind,
        keys={piece.subject: piece.details for piece in of_kind(pieces, "recipient_key")},
        words={piece.subject: piece.content.decode() for piece in of_kind(pieces, "word")},
        signature_kinds=[kind for kind in SIGNATURE_KINDS if kind != "scan" or _scan_allowed(ceremony, policy)],
        has_passkey=executive is not None and bool(executive.signatory.passkeys),
        decided={piece.subject: piece.details for piece in of_kind(pieces, "approval")},
        names={one.id: one.name for one in administrators.values()}, typed=typed or Parameters(),
        problem=None if at else problem, field_problem=problem if at else None, problem_at=at,
        status=problem.status if isinstance(problem, FreeholdError) else 200,
        left=None if ceremony.deadline_ms is None else time_left(ceremony.deadline_ms - now),
        waits=None if ceremony.not_before_ms is None else time_left(ceremony.not_before_ms - now),
        may_cancel=_may_cancel(ceremony, acting), may_change=ceremony.state in DRAFT | BEFORE_BUILD,
        with_file=ceremony.state in WITH_FILE, artefact=artefact, counts=_counts(ceremony),
        entries=[entry.shown | {"time_ms": entry.time_ms} for entry in entries],
    )  # fmt: skip


def steps_of(ceremony: Ceremony, pieces: list[Piece], policy: Policy) -> list[Step]:
    """The checklist: what is done, by whom and when, and what comes next."""
    state, request = ceremony.state, ceremony.request
    over = state in {"rejected", "cancelled", "failed"} or (state in {"expired", "destroyed"} and not ceremony.artefact)
    pending, gone_by = state == "requirements_pending", state not in DRAFT | BEFORE_BUILD

    def by(*kinds: str) -> tuple[tuple[str, int], ...]:
        return tuple((_whose(piece, request), piece.accepted_at_ms) for piece in pieces if piece.kind in kinds)

    def status(*, done: bool, now: bool) -> Status:
        if done:
            return "done"
        if over:
            return "void"
        return "now" if now else "later"

    submitted = state not in {"draft"} and bool(of_kind(pieces, "word"))
    shown = bool(of_kind(pieces, "possession"))
    approvals = [piece for piece in of_kind(pieces, "approval") if piece.details["decision"] == "approve"]
    signed, scan = of_kind(pieces, "signature"), _has_scan(pieces)
    has_file = ceremony.artefact is not None
    found = [
        Step(
            name="request", done=by("word")[:1],
            status=status(done=submitted or (gone_by and not over), now=state == "draft"),
        ),
        Step(name="possession", status=status(done=shown, now=pending), done=by("possession")[:1]),
        Step(
            name="authorization", done=by("authorization"),
            status=status(done=bool(of_kind(pieces, "authorization")), now=pending and shown),
        ),
        Step(
            name="approval", done=by("approval"),
            status=status(done=len(approvals) >= policy.threshold or (gone_by and not over), now=pending and shown),
        ),
        Step(
            name="signature", done=by("signature", "timestamp"),
            status=status(done=bool(signed), now=pending and shown),
        ),
    ]  # fmt: skip
    if scan:
        checked = of_kind(pieces, "scan_check")
        found.append(Step(name="scan", status=status(done=bool(checked), now=pending), done=by("scan_check")))
    if state in {"eligibility_review"} or policy.manual_review:
        reviewed = bool(of_kind(pieces, "review"))
        review = Step(name="review", status=status(done=reviewed, now=state == "eligibility_review"), done=by("review"))
        found.insert(1, review)
    if state == "waiting":
        found.append(Step(name="waiting", status="now"))
    made = () if ceremony.artefact is None else (("system", ceremony.artefact["created_at_ms"]),)
    complete = state in {"requirements_complete", "preparing"}
    found += [
        Step(name="file", status=status(done=has_file, now=complete), done=made),
        Step(
            name="download",
            status="done" if ceremony.downloads else "void" if gone_by and state not in WITH_FILE | PREPARING
            else status(done=False, now=state in WITH_FILE),
        ),
        Step(
            name="removal", done=(("system", ceremony.state_since_ms),) if state == "destroyed" else (),
            status=status(done=state == "destroyed", now=state == "expired" and has_file),
        ),
    ]  # fmt: skip
    return found


# --- what is sent ------------------------------------------------------------------------------------------------


async def submit_step(request: Request) -> Response:
    """POST /admin/exports/{id}/{step}: one of the requester's small steps, or the end of it all."""
    form = await request.form()
    step = request.params["step"]
    if step not in {"submit", "words", "possess", "authorize", "cancel", "scan", "ask-executive"}:
        raise NotFound("Not Found")
    entered = await enter(request, form)
    if isinstance(entered, Response):
        return entered
    attempt, id_, version = attempt_of(request, entered.acting), request.params["id"], version_of(form)
    try:
        match step:
            case "submit":
                await ceremonies.submit(attempt, id_, version=version)
            case "words":
                await ceremonies.new_words(attempt, id_, version=version)
            case "possess":
                count = len((await _ceremony(request)).request.recipients)
                words = [form.get(f"word_{at}") for at in range(1, count + 1)]
                await ceremonies.possess(attempt, id_, words, version=version)
            case "authorize":
                await _authorize(request, entered, form, version)
            case "scan":
                await ceremonies.confirm_scan(attempt, id_, channel=form.get("channel"), version=version)
            case "ask-executive":
                await ask_to_sign(attempt, id_)
            case "cancel":
                await ceremonies.cancel(attempt, id_, reason=form.get("reason"), version=version)
    except FreeholdError as error:
        return entered.leave(await _refused(request, entered.acting, error, form, step))
    return entered.leave(go(f"{EXPORTS}/{id_}#{step}" if step == "ask-executive" else f"{EXPORTS}/{id_}"))


async def _authorize(request: Request, entered: Entered, form: Parameters, version: int) -> None:
    await ceremonies.authorize(
        attempt_of(request, entered.acting), request.params["id"], tenant_name=form.get("tenant"),
        text=form.get("accepted"), code=form.get("code"), digest_groups=form.get("digest"), version=version,
        response=passkey_of(form),
    )  # fmt: skip


async def upload(request: Request) -> Response:
    """POST /admin/exports/{id}/signature: the signed form."""
    acting = await fresh_at(request, f"{EXPORTS}/{request.params['id']}")
    if isinstance(acting, Response):
        return acting
    form = await request.form()
    content = await uploaded(request, "file") or form.get("text").strip().encode()
    kind: Any = form.get("kind")
    try:
        await ceremonies.upload_form(
            attempt_of(request, acting), request.params["id"], kind, content, version=version_of(form)
        )
    except FreeholdError as error:
        return await _refused(request, acting, error, form, "signature")
    return go(f"{EXPORTS}/{request.params['id']}")


async def ask_passkey(request: Request) -> Response:
    """POST /admin/exports/{id}/challenge: what a passkey is to sign; the purpose is the decision."""
    acting = await fresh(request)
    body = await request.json(1000)
    decision: Any = body.get("purpose") if isinstance(body, dict) else None
    if decision not in {"approve", "reject", "authorize"}:
        raise NotFound("Not Found")
    return json_answer(await ceremonies.ask_to_decide(attempt_of(request, acting), request.params["id"], decision))


async def make_ticket(request: Request) -> Response:
    """POST /admin/exports/{id}/download: a ticket for this session, and on to the file it opens."""
    acting = await fresh_at(request, f"{EXPORTS}/{request.params['id']}")
    if isinstance(acting, Response):
        return acting
    store, tenant = request.services.store, request.tenant
    ceremony = await _ceremony(request)
    try:
        artefact = await artefact_of(store, tenant, ceremony.id)
        if artefact is None or ceremony.state not in WITH_FILE:
            raise Gone("There is no file to be had.")
        async with store.transaction() as tx:
            value, _ = await issue_ticket(tx, tenant, artefact.id, actor_of(acting, request.client_ip))
    except FreeholdError as error:
        await note_refused(request, "make_ticket", error)
        return await page(request, acting, ceremony, problem=error)
    return go(f"{EXPORTS}/{ceremony.id}/file?ticket={value}")


def passkey_of(form: Parameters) -> dict[str, Any] | None:
    """The passkey's answer in a form. Something else than an object is none, and will not do."""
    try:
        found = json.loads(form.get("passkey")[:20_000])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


async def _refused(request: Request, acting: Acting, error: FreeholdError, form: Parameters, step: str) -> Response:
    """The ceremony as it is now, with the refusal beside the form it is about, and what was typed."""
    ceremony = await _ceremony(request)
    here = error.status == 400 or error.code in {"wrong_word", "wrong_code", "passkey_needed"}
    return await page(request, acting, ceremony, problem=error, typed=form, at=step if here else "")


async def _ceremony(request: Request) -> Ceremony:
    return await ceremonies.get_ceremony(request.services.store, request.tenant, request.params["id"])


def _may_cancel(ceremony: Ceremony, acting: Acting) -> bool:
    if ceremony.state == "draft" and acting.administrator.id != ceremony.requester_id:
        return False
    return acting.administrator.may("admin") and ceremony.state in DRAFT | BEFORE_BUILD | PREPARING | WITH_FILE


def _scan_allowed(ceremony: Ceremony, policy: Policy) -> bool:
    return policy.allow_scan == "always" or (
        policy.allow_scan == "without_private_keys" and "private_keys" not in ceremony.request.kinds
    )


def _has_scan(pieces: list[Piece]) -> bool:
    return any(piece.details["kind"] == "scan" for piece in of_kind(pieces, "signature"))


def _whose(piece: Piece, request: ceremonies.Request) -> str:
    """Who handed a piece in: an administrator's id or a person's name."""
    match piece.kind:
        case "word" | "possession" | "authorization":
            return request.requester.id
        case "signature":
            return str(piece.details["signature"]["signer"])
        case "timestamp":
            return str(piece.details["authority"])
        case _:
            return piece.subject


def _counts(ceremony: Ceremony) -> list[tuple[str, int]]:
    """How much of each kind is in the file."""
    values = (ceremony.artefact or {}).get("counts", {}).get("values", {})
    return [(kind, values.get(kind, 0)) for kind in ceremony.request.kinds] if values else []
