"""Who administers the tenant: seeing them, inviting, and for the role admin changing what they may do."""

from datetime import timedelta
from typing import Any

from freehold.domain.administrators import Acting, LastAdministrator, list_administrators, require_admin, role_of
from freehold.domain.administrators import management as people
from freehold.domain.administrators.factors import factors_of
from freehold.domain.administrators.links import open_invitations
from freehold.domain.administrators.management import NotYourself
from freehold.domain.administrators.people import AddressTaken, UnknownAdministrator
from freehold.kernel.errors import BadRequest, NotFound
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.surfaces.dashboard import visitors
from freehold.surfaces.dashboard.visitors import SCREENS, field, go

PATH = "/admin/administrators"
_REFUSALS = (AddressTaken, LastAdministrator, NotYourself, BadRequest)


async def show_page(request: Request) -> Response:
    """GET /admin/administrators."""
    return await _page(request, await require_admin(request))


async def invite(request: Request) -> Response:
    """POST /admin/administrators/invite: the link is mailed, and shown once to whoever invites."""
    acting = await _admin(request)
    form = await request.form()
    lifetime = timedelta(hours=request.services.settings.admin_invitation_hours)
    try:
        async with request.services.store.transaction() as tx:
            link, url = await people.invite(
                tx, request.tenant, visitors.who(request, acting), email=field(form, "email"),
                role=role_of(field(form, "role")), lifetime=lifetime,
            )  # fmt: skip
    except _REFUSALS as refusal:
        return await _page(request, acting, problem=refusal)
    return await _page(request, acting, invited=link, invitation_url=url)


async def withdraw(request: Request) -> Response:
    """POST /admin/administrators/invitations/{id}/withdraw."""
    acting = await _admin(request)
    async with request.services.store.transaction() as tx:
        await people.withdraw(tx, request.tenant, visitors.who(request, acting), request.params["id"])
    return go(PATH)


async def change(request: Request) -> Response:
    """POST /admin/administrators/{id}/{action}. Raises NotFound."""
    acting = await _admin(request)
    form, tenant, who = await request.form(), request.tenant, visitors.who(request, acting)
    id_, action, done = request.params["id"], request.params["action"], ""
    try:
        async with request.services.store.transaction() as tx:
            match action:
                case "role":
                    await people.change_role(tx, tenant, who, id_, role_of(field(form, "role")))
                case "block":
                    await people.block(tx, tenant, who, id_)
                case "unblock":
                    await people.unblock(tx, tenant, who, id_)
                case "remove":
                    await people.remove(tx, tenant, who, id_)
                case "reset-factors":
                    await people.reset_factors(tx, tenant, who, id_)
                    done = "administrators.factors_reset"
                case "reset-password":
                    await people.reset_password(tx, tenant, who, id_)
                    done = "administrators.password_reset"
                case _:
                    raise NotFound("Not Found")
    except (*_REFUSALS, UnknownAdministrator) as refusal:
        return await _page(request, acting, problem=refusal)
    return await _page(request, acting, done=done) if done else go(PATH)


async def _admin(request: Request) -> Acting:
    return await require_admin(request, fresh_s=visitors.fresh_s(request), role="admin")


async def _page(
    request: Request,
    acting: Acting,
    *,
    problem: Any = None,
    done: str = "",
    invited: Any = None,
    invitation_url: str = "",
) -> Response:
    store, tenant = request.services.store, request.tenant
    persons = await list_administrators(store, tenant)
    names = {person.id: person.email for person in persons}
    present = {person.id: await factors_of(store, tenant, person.id) for person in persons}
    return await SCREENS.render(
        request, acting, "administrators.html", active="administrators", persons=persons, names=names,
        factors=present, invitations=await open_invitations(store, tenant), problem=problem, done=done,
        invited=invited, invitation_url=invitation_url, may_change=acting.administrator.role == "admin",
    )  # fmt: skip
