"""From a page's view to an HTTP answer, with the tenant's look and the visitor's language."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import FreeholdError, TooManyRequests
from freehold.kernel.http.refusals import MethodNotAllowed
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.kernel.http.router import Handler
from freehold.kernel.locale import choose_language
from freehold.login import pages, views
from freehold.login.texts import LANGUAGES

LONGEST_CLIENT_ID = 64


async def show(
    request: Request,
    view: pages.View,
    *,
    client_name: str = "",
    redirect_uri: str = "",
    ui_locales: str | None = None,
) -> Response:
    """The page for a view."""
    context = await _context(request, client_name, redirect_uri, ui_locales)
    return to_response(pages.render(view, context))


def show_plainly(request: Request, view: pages.View, *, redirect_uri: str = "") -> Response:
    """The page for a view where the tenant's look does not matter or must not be asked for."""
    tenant: TenantScope | None = request.tenant
    name = tenant.name if tenant is not None else "Freehold"
    wanted = request.query.all("ui_locales")
    context = views.PageContext(
        brand=views.Brand(name=name),
        nonce=new_token(18),
        language=_language(request, LANGUAGES, wanted[0] if wanted else None),
        redirect_uri=redirect_uri,
    )
    return to_response(pages.render(view, context))


def to_response(page: pages.Page) -> Response:
    """A rendered page with exactly the headers it came with."""
    headers = dict(page.headers)
    policy = headers.pop("content-security-policy", "default-src 'none'")
    content_type = headers.pop("content-type")
    headers.pop("cache-control", None)
    headers.pop("x-content-type-options", None)
    referrer_policy = headers.pop("referrer-policy")
    framed = headers.pop("x-frame-options", None) is None
    # The edge adds frame-ancestors itself, according to `framing`.
    policy = policy.replace("; frame-ancestors 'none'", "")
    response = Response(page.status, page.body, list(headers.items()), content_type=content_type)
    response.csp, response.referrer_policy = policy, referrer_policy
    response.framing = "any" if framed else "none"
    return response


def render_page_error(error: FreeholdError, request: Request) -> Response:
    """An error on our own page, with the request id by which the operator finds the log lines."""
    view: pages.View
    if isinstance(error, MethodNotAllowed):
        view = views.MethodNotAllowed()
    elif isinstance(error, TooManyRequests):
        view = views.TooManyRequests(retry_after_s=error.retry_after_s)
    elif error.status == 503:
        view = views.ServiceUnavailable()
    elif error.status == 404 and error.code == "not_found":
        view = views.PageNotFound()
    else:
        view = views.ErrorDetails(
            error=error.code, description=error.message, tracking=request.request_id, status=error.status
        )
    return show_plainly(request, view)


def with_error_page(handler: Handler, *refusals: type[FreeholdError]) -> Handler:
    """A handler whose refusals are shown by the tenant's own error page, where the settings name one."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except refusals as error:
            url = await _error_page_of(request)
            if not url:
                raise
            return redirect(_told(url, error, request))

    return handle


async def _error_page_of(request: Request) -> str:
    settings = await documents.cached_singleton(request.services.store, request.tenant, SETTINGS)
    url = _text(settings.error_page.url) if settings.error_page else ""
    return url if pages.web_origin(url) is not None else ""


def _told(url: str, error: FreeholdError, request: Request) -> str:
    """The address of the error page with what it can tell the visitor; it proves nothing to whoever reads it."""
    client_ids = request.query.all("client_id")
    members = {
        "client_id": client_ids[0][:LONGEST_CLIENT_ID] if client_ids else None,
        "lang": _language(request, LANGUAGES, None),
        "error": error.code,
        "error_description": error.message,
        "tracking": request.request_id,
    }
    address, hash_sign, fragment = url.partition("#")
    query = urlencode({name: value for name, value in members.items() if value is not None})
    return f"{address}{'&' if '?' in address else '?'}{query}{hash_sign}{fragment}"


def form_post(request: Request, *, action: str, members: dict[str, str]) -> Response:
    """OAuth 2.0 Form Post Response Mode."""
    view = views.FormPost(redirect_uri=action, fields=tuple(members.items()))
    return show_plainly(request, view, redirect_uri=action)


def web_message(request: Request, *, target_origin: str, members: dict[str, Any]) -> Response:
    """response_mode=web_message: a page that posts to the window that opened or framed it."""
    return show_plainly(request, views.WebMessage(target_origin=target_origin, response=members))


async def _context(request: Request, client_name: str, redirect_uri: str, ui_locales: str | None) -> views.PageContext:
    tenant: TenantScope = request.tenant
    settings = await documents.cached_singleton(request.services.store, tenant, SETTINGS)
    brand = views.Brand(
        name=_text(settings.friendly_name) or tenant.name,
        logo_url=_text(settings.picture_url),
        support_url=_text(settings.support_url),
    )
    return views.PageContext(
        brand=brand,
        nonce=new_token(18),
        language=_language(request, settings.enabled_locales, ui_locales),
        client_name=client_name,
        redirect_uri=redirect_uri,
    )


def _language(request: Request, enabled: Sequence[str], ui_locales: str | None) -> str:
    return choose_language(
        ui_locales=ui_locales,
        accept_language=request.headers.get("accept-language"),
        enabled=enabled,
        supported=LANGUAGES,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
