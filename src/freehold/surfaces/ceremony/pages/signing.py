"""The executive's own pages, without an account: enrol a passkey, and read and sign a form. A link opens each."""

import json
from hashlib import sha256
from typing import Any

from freehold.domain.administrators.passkeys import PasskeyRefused
from freehold.domain.ceremonies.evidence.executive_links import (
    ExecutiveLink,
    ExecutiveLinkOver,
    enrol_passkey,
    enrolment_options,
    find_executive_link,
    signing_options,
)
from freehold.domain.ceremonies.evidence.form import TERMS, FormTexts
from freehold.domain.ceremonies.forms import form_content
from freehold.domain.ceremonies.signing import form_to_sign, sign_by_link
from freehold.kernel.errors import FreeholdError
from freehold.kernel.http.csrf import verify_form
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.http.response import json as json_answer
from freehold.login import cookies
from freehold.surfaces.ceremony.pages.ceremony import passkey_of
from freehold.surfaces.ceremony.pages.frame import SCREENS
from freehold.surfaces.ceremony.refusals import note_refused
from freehold.surfaces.dashboard import visitors


async def show_passkey(request: Request) -> Response:
    """GET /admin/executive/passkey?token=...: looking uses nothing up."""
    value = request.query.get("token")
    try:
        link = await _open_link(request, value)
    except ExecutiveLinkOver as over:
        return await _over(request, over)
    return await _passkey_page(request, link, value)


async def ask_for_passkey(request: Request) -> Response:
    """POST /admin/executive/passkey-options?token=...: what the browser is to make."""
    _check_script(request)
    value = request.query.get("token")
    return json_answer(enrolment_options(request.tenant, await _open_link(request, value), value))


async def submit_passkey(request: Request) -> Response:
    """POST /admin/executive/passkey: the new passkey; the link is used up."""
    form = await visitors.open_form(request)
    value = form.get("token")
    try:
        link = await _open_link(request, value)
        response = passkey_of(form)
        if response is None:
            raise PasskeyRefused("unreadable answer")
        async with request.services.store.transaction() as tx:
            await enrol_passkey(tx, request.tenant, value, response, ip=request.client_ip)
    except ExecutiveLinkOver as over:
        return await _over(request, over)
    except FreeholdError as error:
        return await _passkey_page(request, link, value, problem=error)
    return await SCREENS.render(request, None, "executive_done.html", what="passkey", name=link.executive.name)


async def show_form(request: Request) -> Response:
    """GET /admin/executive/sign?token=...: the form, as text and as the PDF that is signed."""
    return await _form_page(request, request.query.get("token"))


async def download_form(request: Request) -> Response:
    """GET /admin/executive/form?token=...: the PDF."""
    try:
        _, _, form = await form_to_sign(request.services.store, request.tenant, request.query.get("token"))
    except ExecutiveLinkOver as over:
        return await _over(request, over)
    headers = [("content-disposition", 'inline; filename="acknowledgement.pdf"'), ("cache-control", "no-store")]
    return Response(200, form.content, headers, content_type="application/pdf")


async def ask_to_sign(request: Request) -> Response:
    """POST /admin/executive/sign-options?token=...: the form's digest, to be signed."""
    _check_script(request)
    link, _, form = await form_to_sign(request.services.store, request.tenant, request.query.get("token"))
    return json_answer(signing_options(request.tenant, link.executive, form.content))


async def submit_signature(request: Request) -> Response:
    """POST /admin/executive/sign: the passkey's signature; the link is used up."""
    form = await visitors.open_form(request)
    value, services = form.get("token"), request.services
    try:
        link, _, _ = await form_to_sign(services.store, request.tenant, value)
        answer = json.dumps(passkey_of(form) or {}).encode()
        await sign_by_link(services.store, request.tenant, services.settings, value, answer, ip=request.client_ip)
    except ExecutiveLinkOver as over:
        return await _over(request, over)
    except FreeholdError as error:
        return await _form_page(request, value, problem=error)
    return await SCREENS.render(request, None, "executive_done.html", what="signed", name=link.executive.name)


async def _open_link(request: Request, value: str) -> ExecutiveLink:
    state, link = await find_executive_link(request.services.store, request.tenant, value, "passkey")
    if state != "open" or link is None:
        raise ExecutiveLinkOver(state)
    return link


async def _passkey_page(request: Request, link: ExecutiveLink, value: str, *, problem: Any = None) -> Response:
    return await SCREENS.render(
        request, None, "executive_passkey.html", executive=link.executive, token=value, problem=problem,
        tenant=request.tenant.name,
    )  # fmt: skip


async def _form_page(request: Request, value: str, *, problem: Any = None) -> Response:
    try:
        link, ceremony, form = await form_to_sign(request.services.store, request.tenant, value)
    except ExecutiveLinkOver as over:
        return await _over(request, over)
    content = form_content(ceremony.request)
    texts = FormTexts(content.language)
    return await SCREENS.render(
        request, None, "executive_sign.html", executive=link.executive, token=value, problem=problem, form=content,
        texts=texts, terms=[texts(f"term.{term}") for term in TERMS], sha256=sha256(form.content).hexdigest(),
    )  # fmt: skip


async def _over(request: Request, over: ExecutiveLinkOver) -> Response:
    await note_refused(request, "executive_link", over)
    return await SCREENS.render(request, None, "executive_over.html", state=over.state, status=410)


def _check_script(request: Request) -> None:
    verify_form(request, transaction=cookies.visit_secret(request), token=request.headers.get("x-csrf-token"))
