"""The root page of a tenant: what answers here, and where to go on."""

from freehold.kernel.declare import TenantScope
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.login import views
from freehold.login.answers import show
from freehold.login.outbox import may_read


async def show_page(request: Request) -> Response:
    """GET /."""
    tenant: TenantScope = request.tenant
    return await show(request, views.Landing(issuer=tenant.issuer, outbox_url="/outbox" if may_read(request) else ""))
