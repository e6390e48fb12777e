"""The link that verifies an address.

Opening it verifies nothing: scanners open links too. The page has a button that does.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from freehold.domain.extensions.databases import ScriptFailed, ScriptRefused
from freehold.domain.tickets import Ticket, find_ticket, use_ticket
from freehold.domain.users import USERS, find_database, verify_elsewhere
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
    result = proof.payload.get("result_url")
    try:
        verified = await _verify(http, proof, value)
    except ScriptFailed as error:
        await _record_failure(http, proof, error)
        if not result:
            return await show(http, views.EmailVerificationResult(outcome="failed"))
        text = error.message if isinstance(error, ScriptRefused) else "Your email could not be verified."
        told = {"email": str(proof.payload.get("email", "")), "message": text, "success": "false"}
        return redirect(_with_query(str(result), told))
    if not verified:
        return await show(http, views.EmailVerificationResult(outcome="failed"))
    if result:
        return redirect(_result_url(str(result), proof.payload))
    return await show(http, views.EmailVerificationResult(outcome="verified"))


async def _verify(http: Request, proof: Ticket, value: str) -> bool:
    """Take the address for verified, here or in a database of the tenant's own. Raises ScriptFailed."""
    tenant, store = http.tenant, http.services.store
    known = await documents.read(store, tenant, USERS, proof.user_id)
    if known is None or known.document.get("email") != proof.payload.get("email"):
        return False
    database = await find_database(store, tenant, known.document["identities"][0]["connection"])
    elsewhere = database is not None and database.is_custom and not database.keeps_passwords
    if database is not None and elsewhere:
        await verify_elsewhere(http.services, tenant, database, str(known.document["email"]))
    async with store.transaction() as tx:
        record = await documents.read(tx, tenant, USERS, proof.user_id)
        if record is None or record.document.get("email") != proof.payload.get("email"):
            return False
        if not await use_ticket(tx, tenant, value, "email_verification"):
            return False
        if not elsewhere:  # elsewhere, only what the next sign-in's profile says counts
            await documents.update(tx, tenant, USERS, proof.user_id, {"email_verified": True})
        await tenant.events.record(
            tx, tenant, "sv", user_id=proof.user_id, user_name=record.document.get("email"), ip=http.client_ip,
            user_agent=http.headers.get("user-agent"), client_id=proof.payload.get("client_id"), hostname=http.host,
        )  # fmt: skip
    return True


async def _record_failure(http: Request, proof: Ticket, error: ScriptFailed) -> None:
    async with http.services.store.transaction() as tx:
        await http.tenant.events.record(
            tx, http.tenant, "fv", user_id=proof.user_id, description=error.message, ip=http.client_ip,
            user_agent=http.headers.get("user-agent"), client_id=proof.payload.get("client_id"), hostname=http.host,
        )  # fmt: skip


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
    return _with_query(url, told)


def _with_query(url: str, told: Mapping[str, str]) -> str:
    return url + ("&" if "?" in url else "?") + urlencode(told)
