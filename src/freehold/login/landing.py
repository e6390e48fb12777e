"""Addresses that people type or bookmark: the tenant's root, `/login` without a sign-in, and what robots ask for."""

from freehold.domain.applications import CLIENTS
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect, text
from freehold.login import views
from freehold.login.answers import show
from freehold.login.outbox import may_read


async def show_page(request: Request) -> Response:
    """GET /: what answers here, and where to go on."""
    tenant: TenantScope = request.tenant
    outbox_url = "/outbox" if may_read(request) else ""
    return await show(request, views.Landing(issuer=tenant.issuer, outbox_url=outbox_url, dashboard_url="/admin"))


async def begin_elsewhere(request: Request) -> Response:
    """GET /login: a sign-in begins at an application, so that is where we lead.

    The application named by `client` if it says where (`initiate_login_uri`), else the tenant's
    `default_redirection_uri`, else the landing page.
    """
    store, tenant = request.services.store, request.tenant
    named = request.query.all("client") or request.query.all("client_id")
    client = await documents.cached(store, tenant, CLIENTS, named[0]) if len(named) == 1 else None
    if client is not None and client.initiate_login_uri:
        return redirect(client.initiate_login_uri)
    settings = await documents.cached_singleton(store, tenant, SETTINGS)
    return redirect(settings.default_redirection_uri or "/")


async def robots(request: Request) -> Response:
    """GET /robots.txt: there is nothing to index."""
    return text("User-agent: *\nDisallow: /\n")
