"""The link that verifies an address.

Opening it verifies nothing: scanners open links too. The page has a button that does.
"""

from typing import Any
from urllib.parse import urlencode

from freehold.domain.tickets import Ticket, find_ticket, use_ticket
from freehold.domain.users import USERS
from freehold.kernel.declare import documents
from freehold.kernel.http.csrf import form_token, verify_form
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.login import cookies, views
from freehold.login.answers import show

PATH = "/u/email-verification"


async def show_page(http: Request) -> Response:
    """GET /u/email-verification."""
    value = http.query.one("ticket") or ""
    state, proof = await find_ticket(http.services.store, http.tenant, value, "email_verification")
    if state != "open" or proof is None:
        return await _over(http, state)
    holder = Response()
    secret = cookies.ensure_visit(http, holder)
    form = views.Form(action=f"{PATH}?{urlencode({'ticket': value})}", state="", csrf_token=form_token(secret))
    response = await show(http, views.VerifyEmail(form=form), redirect_uri=str(proof.payload.get("result_url") or ""))
    response.headers += holder.headers
    return response


async def submit(http: Request) -> Response:
    """POST /u/email-verification: the address counts as verified if it is still the one the mail went to."""
    form = await http.form()
    verify_form(http, transaction=cookies.visit_secret(http), token=form.one("csrf_token"))
    value = http.query.one("ticket") or ""
    state, proof = await find_ticket(http.services.store, http.tenant, value, "email_verification")
    if state != "open" or proof is None:
        return await _over(http, state)
    if not await _verify(http, proof, value):
        return await show(http, views.EmailVerificationResult(outcome="failed"))
    result = proof.payload.get("result_url")
    if result:
        return redirect(_result_url(str(result), proof.payload))
    return await show(http, views.EmailVerificationResult(outcome="verified"))


async def _verify(http: Request, proof: Ticket, value: str) -> bool:
    tenant = http.tenant
    async with http.services.store.transaction() as tx:
        record = await documents.read(tx, tenant, USERS, proof.user_id)
        if record is None or record.document.get("email") != proof.payload.get("email"):
            return False
        if not await use_ticket(tx, tenant, value, "email_verification"):
            return False
        await documents.update(tx, tenant, USERS, proof.user_id, {"email_verified": True})
        await tenant.events.record(
            tx, tenant, "sv", user_id=proof.user_id, user_name=record.document.get("email"), ip=http.client_ip,
            user_agent=http.headers.get("user-agent"), client_id=proof.payload.get("client_id"), hostname=http.host,
        )  # fmt: skip
    return True


async def _over(http: Request, state: str) -> Response:
    if state == "used":
        return await show(http, views.EmailVerificationResult(outcome="already-verified"))
    return await show(http, views.EmailVerificationResult(outcome="invalid"))


def _result_url(url: str, payload: Any) -> str:
    """The page that the ticket's maker chose, told how it went, in Auth0's parameters."""
    told = {"supportSignUp": "true", "supportForgotPassword": "true", "success": "true", "code": "success"}
    told["message"] = "Your email was verified. You can continue using the application."
    if payload.get("include_email"):
        told["email"] = str(payload.get("email", ""))
    return url + ("&" if "?" in url else "?") + urlencode(told)
