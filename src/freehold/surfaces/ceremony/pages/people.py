"""Who may sign for exports: executives, and the authorities whose certificates count. Enrolled early."""

import re
from datetime import timedelta
from typing import Any

from freehold.domain import ceremonies
from freehold.domain.administrators import Acting, require_admin
from freehold.domain.administrators.mail import send
from freehold.domain.ceremonies.evidence.executive_links import LIFETIME, issue_executive_link
from freehold.domain.ceremonies.evidence.executives import (
    Material,
    check_executives_key,
    enrol_anchor,
    enrol_executive,
    get_executive,
    list_anchors,
    list_executives,
    put_crls,
    remove_anchor,
    remove_executive,
)
from freehold.domain.ceremonies.evidence.material import check_certificate, check_crls
from freehold.kernel.errors import FreeholdError, NotFound
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.surfaces.ceremony.delivery.access import actor_of
from freehold.surfaces.ceremony.pages.frame import (
    EXECUTIVES,
    SCREENS,
    attempt_of,
    enter,
    text_or_file,
)
from freehold.surfaces.dashboard.visitors import field, go

MAIL = "executive_passkey"
_CRL = re.compile(r"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


async def show(request: Request) -> Response:
    """GET /admin/executives."""
    return await _page(request, await require_admin(request))


async def enrol(request: Request) -> Response:
    """POST /admin/executives: somebody who may sign, by certificate, OpenPGP key, or later by passkey."""
    form = await _with_files(request, "certificate", "openpgp")
    entered = await enter(request, form)
    if isinstance(entered, Response):
        return entered
    acting, tenant, now = entered.acting, request.tenant, request.tenant.clock.now()
    pem, armored, email = form.get("certificate"), form.get("openpgp"), field(form, "email").strip()
    at = ""
    try:
        at = "certificate"
        certificates = (await check_certificate(pem, use="person", now=now),) if pem else ()
        at = "openpgp"
        policy = attempt_of(request, acting).policy.key_policy
        key = await check_executives_key(armored, email=email, now=now, policy=policy) if armored else None
        at = ""
        async with request.services.store.transaction() as tx:
            made = await enrol_executive(
                tx, tenant, name=field(form, "name"), title=field(form, "title"), email=email,
                material=Material(certificates=certificates, openpgp_key=key),
                actor=actor_of(acting, request.client_ip),
            )  # fmt: skip
        if form.get("passkey_link"):
            await _mail_link(request, acting, made.id)
    except FreeholdError as error:
        at = at or {"invalid_email": "email", "executive_exists": "email"}.get(error.code, "name")
        return entered.leave(await _page(request, acting, problem=error, typed=form, at=at))
    return entered.leave(go(f"{EXECUTIVES}#{made.id}"))


async def change_executive(request: Request) -> Response:
    """POST /admin/executives/{id}/{action}: mail a link for a passkey, or remove."""
    form = await request.form()
    entered = await enter(request, form)
    if isinstance(entered, Response):
        return entered
    id_, action = request.params["id"], request.params["action"]
    try:
        if action == "link":
            await _mail_link(request, entered.acting, id_)
            return entered.leave(await _page(request, entered.acting, done="executives.mailed"))
        if action != "remove":
            raise NotFound("Not Found")
        async with request.services.store.transaction() as tx:
            await remove_executive(tx, request.tenant, id_, actor=actor_of(entered.acting, request.client_ip))
    except FreeholdError as error:
        return entered.leave(await _page(request, entered.acting, problem=error))
    return entered.leave(go(EXECUTIVES))


async def enrol_authority(request: Request) -> Response:
    """POST /admin/authorities."""
    form = await _with_files(request, "authority", "crls")
    entered = await enter(request, form)
    if isinstance(entered, Response):
        return entered
    acting, now = entered.acting, request.tenant.clock.now()
    at = "authority"
    try:
        certificate = await check_certificate(form.get("authority"), use="authority", now=now)
        at = "crls"
        crls = await check_crls(_CRL.findall(form.get("crls")), certificate=certificate.certificate, now=now)
        at = "authority_name"
        async with request.services.store.transaction() as tx:
            await enrol_anchor(
                tx, request.tenant, name=field(form, "authority_name"), certificate=certificate, crls=crls,
                actor=actor_of(acting, request.client_ip),
            )  # fmt: skip
    except FreeholdError as error:
        return entered.leave(await _page(request, acting, problem=error, typed=form, at=at))
    return entered.leave(go(f"{EXECUTIVES}#authorities"))


async def change_authority(request: Request) -> Response:
    """POST /admin/authorities/{id}/{action}: newer revocation lists, or remove."""
    form = await _with_files(request, "crls")
    entered = await enter(request, form)
    if isinstance(entered, Response):
        return entered
    store, tenant, id_ = request.services.store, request.tenant, request.params["id"]
    actor = actor_of(entered.acting, request.client_ip)
    try:
        if request.params["action"] == "crls":
            anchor = next((one for one in await list_anchors(store, tenant) if one.id == id_), None)
            if anchor is None:
                raise NotFound("No such authority is enrolled.", code="unknown_anchor")
            crls = await check_crls(
                _CRL.findall(form.get("crls")), certificate=anchor.anchor.certificate, now=tenant.clock.now()
            )
            async with store.transaction() as tx:
                await put_crls(tx, tenant, id_, crls, actor=actor)
        elif request.params["action"] == "remove":
            async with store.transaction() as tx:
                await remove_anchor(tx, tenant, id_, actor=actor)
        else:
            raise NotFound("Not Found")
    except FreeholdError as error:
        return entered.leave(await _page(request, entered.acting, problem=error))
    return entered.leave(go(f"{EXECUTIVES}#authorities"))


async def _mail_link(request: Request, acting: Acting, id_: str) -> None:
    tenant = request.tenant
    async with request.services.store.transaction() as tx:
        executive = await get_executive(tx, tenant, id_)
        value = await issue_executive_link(tx, tenant, id_, purpose="passkey", issued_by=acting.administrator.id)
        await send(
            tx, tenant, MAIL, executive.email, url=f"{tenant.issuer}admin/executive/passkey?token={value}",
            name=executive.name, by=acting.administrator.email,
        )  # fmt: skip


async def _with_files(request: Request, *names: str) -> Parameters:
    form = await request.form()
    texts = {name: await text_or_file(request, form, name) for name in names}
    return Parameters([*((name, value) for name, value in form.pairs() if name not in texts), *texts.items()])


async def _page(
    request: Request,
    acting: Acting,
    *,
    problem: Any = None,
    typed: Parameters | None = None,
    at: str = "",
    done: str = "",
) -> Response:
    store, tenant = request.services.store, request.tenant
    settles = timedelta(hours=ceremonies.policy_of(request.services.settings, tenant).executive_min_age_h)
    now = tenant.clock.now_ms()
    return await SCREENS.render(
        request, acting, "executives.html", active="exports", executives=await list_executives(store, tenant),
        anchors=await list_anchors(store, tenant), may_change=acting.administrator.role == "admin",
        settled_before_ms=now - int(settles.total_seconds() * 1000), settles_ms=int(settles.total_seconds() * 1000),
        problem=None if at else problem, field_problem=problem if at else None, problem_at=at,
        typed=typed or Parameters(), done=done, link_hours=int(LIFETIME.total_seconds() // 3600),
        status=problem.status if isinstance(problem, FreeholdError) else 200,
    )  # fmt: skip
