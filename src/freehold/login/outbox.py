"""Reading the mail that is delivered locally, in the browser, from this machine only."""

from datetime import UTC, datetime
from ipaddress import ip_address

from freehold.domain.messaging import DeliveredMail, find_mail, latest
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import NotFound
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, json
from freehold.kernel.http.router import Router
from freehold.login import pages, views
from freehold.login.answers import show, to_response

PAGE = 50
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def add_routes(router: Router) -> None:
    """Put the pages into the router."""
    router.add("GET", "/outbox", listing, name="outbox.list", family="page")
    router.add("GET", "/outbox.json", listing_json, name="outbox.json", family="page")
    router.add("GET", "/outbox/{id}", one, name="outbox.mail", family="page")
    router.add("GET", "/outbox/{id}/html", html, name="outbox.html", family="page")


def may_read(request: Request) -> bool:
    """Mails hold tickets: only who sits at this machine may read those of others.

    A reverse proxy on this machine makes everybody look as if they did. So by default the tenant's own host must be a
    name of this machine too, and the request must not have come through a proxy.
    """
    setting = request.services.settings.outbox
    if setting == "off" or any(name in request.headers for name in _FORWARDED):
        return False
    tenant: TenantScope = request.tenant
    return _is_loopback(request.peer_ip) and (setting == "on" or _is_local(tenant.domain.partition(":")[0]))


def _is_local(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost") or _is_loopback(host)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


async def listing(request: Request) -> Response:
    """The mails, the newest first."""
    mails = await _mails(request)
    rows = tuple(
        views.OutboxRow(
            url=f"/outbox/{mail.id}", to=mail.recipient, subject=mail.subject, sent_at=_moment(mail.sent_at_ms)
        )
        for mail in mails
    )
    older = f"/outbox?before={mails[-1].id}" if len(mails) == PAGE else ""
    newer = "/outbox" if request.query.one("before") else ""
    return await show(request, views.Outbox(mails=rows, newer_url=newer, older_url=older))


async def listing_json(request: Request) -> Response:
    """The same for scripts and tests."""
    return json(
        [
            {"id": m.id, "to": m.recipient, "template": m.template, "subject": m.subject, "text": m.body}
            for m in await _mails(request)
        ]
    )


async def one(request: Request) -> Response:
    """One mail."""
    _check(request)
    mail = await find_mail(request.services.store, request.tenant, request.params["id"])
    if mail is None:
        raise NotFound("Not Found")
    view = views.OutboxMail(
        outbox_url="/outbox",
        to=mail.recipient,
        subject=mail.subject,
        sent_at=_moment(mail.sent_at_ms),
        template=mail.template,
        html_url=f"/outbox/{mail.id}/html",
        text=mail.body,
    )
    return await show(request, view)


async def html(request: Request) -> Response:
    """The HTML of a mail, for the frame on its page."""
    _check(request)
    mail = await find_mail(request.services.store, request.tenant, request.params["id"])
    if mail is None:
        raise NotFound("Not Found")
    return to_response(pages.mail_document(mail.html))


async def _mails(request: Request) -> list[DeliveredMail]:
    _check(request)
    tenant: TenantScope = request.tenant
    return await latest(request.services.store, tenant, limit=PAGE, before=request.query.one("before") or "")


def _check(request: Request) -> None:
    if not may_read(request):
        raise NotFound("Not Found")


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
