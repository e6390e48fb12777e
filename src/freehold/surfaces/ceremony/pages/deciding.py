"""The other administrator's page: who asks, for what, to whose key, why; and the two answers."""

from typing import Any

from freehold.domain import ceremonies
from freehold.domain.administrators import Acting
from freehold.domain.administrators.factors import factors_of
from freehold.domain.ceremonies import Ceremony
from freehold.domain.ceremonies.pieces import of_kind
from freehold.domain.ceremonies.proofs import Decision
from freehold.kernel.errors import BadRequest, FreeholdError
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.surfaces.ceremony.pages.ceremony import passkey_of
from freehold.surfaces.ceremony.pages.frame import EXPORTS, SCREENS, attempt_of, fresh, version_of
from freehold.surfaces.dashboard.visitors import go


async def show(request: Request) -> Response:
    """GET /admin/exports/{id}/decision."""
    acting = await fresh(request)
    return await _page(request, acting, await _ceremony(request))


async def submit(request: Request) -> Response:
    """POST /admin/exports/{id}/decision: approve or reject, by passkey or by code."""
    acting = await fresh(request)
    form = await request.form()
    try:
        await ceremonies.decide(
            attempt_of(request, acting), request.params["id"], _decision(form), response=passkey_of(form),
            code=form.get("code"), digest_groups=form.get("digest"), reason=form.get("reason"),
            version=version_of(form),
        )  # fmt: skip
    except FreeholdError as error:
        return await _page(request, acting, await _ceremony(request), problem=error, typed=form)
    return go(f"{EXPORTS}/{request.params['id']}")


async def _page(
    request: Request, acting: Acting, ceremony: Ceremony, *, problem: Any = None, typed: Parameters | None = None
) -> Response:
    store, tenant = request.services.store, request.tenant
    policy = ceremonies.policy_in_force(request.services.settings, tenant, ceremony.request.policy)
    pieces = await ceremonies.pieces_of(store, tenant, ceremony)
    return await SCREENS.render(
        request, acting, "decision.html", active="exports", ceremony=ceremony, asked=ceremony.request, policy=policy,
        groups=ceremonies.groups(bytes.fromhex(ceremony.digest)), problem=problem, typed=typed or Parameters(),
        factors=await factors_of(store, tenant, acting.administrator.id),
        keys={piece.subject: piece.details for piece in of_kind(pieces, "recipient_key")},
        own=acting.administrator.id == ceremony.requester_id,
        decided=any(piece.subject == acting.administrator.id for piece in of_kind(pieces, "approval")),
        is_open=ceremony.state == "requirements_pending" and bool(of_kind(pieces, "form")),
    )  # fmt: skip


async def _ceremony(request: Request) -> Ceremony:
    return await ceremonies.get_ceremony(request.services.store, request.tenant, request.params["id"])


def _decision(form: Parameters) -> Decision:
    match form.get("decision"):
        case "approve":
            return "approve"
        case "reject":
            return "reject"
    raise BadRequest("The decision is approve or reject.")
