"""The link in the mail about too many failed sign-ins: with it the owner of the address lets tries count anew.

Opening it does nothing; the page has a button.
"""

from urllib.parse import urlencode

from freehold.domain import protection
from freehold.domain.tickets import find_ticket, use_ticket
from freehold.kernel.http.csrf import form_token, verify_form
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.login import cookies, views
from freehold.login.answers import show

PATH = "/u/unblock"


async def show_page(http: Request) -> Response:
    """GET /u/unblock."""
    value = http.query.one("ticket") or ""
    state, _ = await find_ticket(http.services.store, http.tenant, value, "unblock")
    if state != "open":
        return await show(http, views.UnblockFailure())
    holder = Response()
    secret = cookies.ensure_visit(http, holder)
    form = views.Form(action=f"{PATH}?{urlencode({'ticket': value})}", state="", csrf_token=form_token(secret))
    response = await show(http, views.Unblock(form=form))
    response.headers += holder.headers
    return response


async def submit(http: Request) -> Response:
    """POST /u/unblock."""
    form = await http.form()
    verify_form(http, transaction=cookies.visit_secret(http), token=form.one("csrf_token"))
    value = http.query.one("ticket") or ""
    store, tenant = http.services.store, http.tenant
    state, proof = await find_ticket(store, tenant, value, "unblock")
    if state != "open" or proof is None:
        return await show(http, views.UnblockFailure())
    async with store.transaction() as tx:
        if not await use_ticket(tx, tenant, value, "unblock"):
            return await show(http, views.UnblockFailure())
        connection, subject = str(proof.payload["connection"]), str(proof.payload["subject"])
        await protection.forget(tx, tenant, protection.purpose_of(connection), subject)
        await tenant.events.record(
            tx, tenant, "ublkdu", user_id=proof.user_id, user_name=subject, connection=connection, ip=http.client_ip,
            user_agent=http.headers.get("user-agent"), hostname=http.host,
        )  # fmt: skip
    return await show(http, views.UnblockSuccess())
