"""The first page of the dashboard, and the audit log."""

from freehold.domain import audit
from freehold.domain.administrators import list_administrators, require_admin
from freehold.kernel.errors import BadRequest
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.store import Row
from freehold.surfaces.dashboard.layout import SECTIONS
from freehold.surfaces.dashboard.visitors import SCREENS

PAGE = 50
LARGEST_NUMBER = 2**53
COUNTED = 1000
"""So far is counted for the first page; a million users would take longer than anybody looks at it."""

_USERS = "select count(*) from (select 1 from users where tenant_id = :id limit :limit) as counted"
_CLIENTS = "select count(*) from (select 1 from clients where tenant_id = :id limit :limit) as counted"


async def show_home(request: Request) -> Response:
    """GET /admin: what there is."""
    acting = await require_admin(request)
    store, tenant = request.services.store, request.tenant
    users = await store.one(_USERS, id=tenant.id, limit=COUNTED)
    clients = await store.one(_CLIENTS, id=tenant.id, limit=COUNTED)
    return await SCREENS.render(
        request, acting, "home.html", active="home", issuer=tenant.issuer, users=_counted(users),
        clients=_counted(clients), persons=await list_administrators(store, tenant), has_exports="exports" in SECTIONS,
    )  # fmt: skip


def _counted(row: Row | None) -> str:
    """A number for people, empty for none."""
    number = int(row[0]) if row is not None else 0
    return f"{number}+" if number >= COUNTED else str(number or "")


async def show_audit(request: Request) -> Response:
    """GET /admin/audit?before=NUMBER: the newest entries first."""
    acting = await require_admin(request)
    before = page_start(request.query.one("before"))
    entries = await audit.latest_entries(request.services.store, request.tenant, limit=PAGE + 1, before=before)
    older = f"/admin/audit?before={entries[PAGE - 1].seq}" if len(entries) > PAGE else ""
    return await SCREENS.render(
        request, acting, "audit.html", active="audit", entries=[entry.shown | {"time_ms": entry.time_ms}
        for entry in entries[:PAGE]], older_url=older, newer_url="/admin/audit" if before else "",
    )  # fmt: skip


def page_start(text: str | None) -> int | None:
    """The number before which a page begins. Raises BadRequest."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text) > LARGEST_NUMBER:
        raise BadRequest("before is the number of an entry.")
    return int(text)
