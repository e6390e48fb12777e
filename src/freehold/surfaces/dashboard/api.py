"""The dashboard for scripts and commands: JSON over a session that a person opened with a second factor.

`POST /admin/api/sessions` gives a token for `Authorization: Bearer`. A browser's cookie works too, with the form token
in `x-csrf-token` for what changes something.
"""

from datetime import timedelta
from typing import Any

from freehold.domain import audit
from freehold.domain.administrators import (
    Acting,
    Administrator,
    SignInNeeded,
    get_administrator,
    list_administrators,
    renew_session,
    require_admin,
    role_of,
    sessions_of,
)
from freehold.domain.administrators import management as people
from freehold.domain.administrators.factors import Factors, factors_of, offer_totp, prepare_recovery
from freehold.domain.administrators.links import Link, open_invitations
from freehold.domain.administrators.records import note
from freehold.domain.administrators.sessions import AdminSession, end_session
from freehold.domain.administrators.sign_in import (
    PASSWORD_ONLY,
    WITH_CODE,
    Place,
    WrongCredentials,
    check_code,
    check_password,
    check_recovery_code,
    complete_sign_in,
)
from freehold.kernel.clock import iso
from freehold.kernel.crypto.otp import totp_uri
from freehold.kernel.errors import BadRequest, Forbidden
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, empty, json
from freehold.surfaces.dashboard import visitors
from freehold.surfaces.dashboard.home import page_start
from freehold.surfaces.dashboard.sign_in import password_is_enough

LONGEST_BODY = 20_000
MOST_ENTRIES = 200


class CodeNeeded(Forbidden):
    """403: the password is right, and a code is needed as well."""

    code = "code_required"

    def __init__(self) -> None:
        super().__init__("Send `otp` (a code of the authenticator app) or `recovery_code` as well.")


# --- sessions ----------------------------------------------------------------------------------------------------


async def open_session(request: Request) -> Response:
    """POST sessions: {email, password, otp | recovery_code}."""
    body = await _body(request)
    place, tenant = _place(request), request.tenant
    person = await check_password(
        request.services, tenant, email=_text(body, "email"), password=_text(body, "password"), place=place
    )
    present = await factors_of(request.services.store, tenant, person.id)
    proof, following = PASSWORD_ONLY, ""
    if body.get("recovery_code"):
        proof, following = await check_recovery_code(
            request.services, tenant, person, _text(body, "recovery_code"), place
        )
    elif body.get("otp"):
        proof = await check_code(request.services, tenant, person, _text(body, "otp"), place)
    elif present.any:
        raise CodeNeeded
    async with request.services.store.transaction() as tx:
        session, value = await complete_sign_in(tx, request.services, tenant, person, proof, place)
    answer = {"token": value, "token_type": "Bearer", "session": show_session(session, session.id)}
    if following:
        answer["recovery_code"] = following
    return json({**answer, "administrator": show_person(person, present)}, 201)


async def list_sessions(request: Request) -> Response:
    """GET sessions: one's own."""
    acting = await require_admin(request, enrolling=True)
    found = await sessions_of(request.services.store, request.tenant, acting.administrator.id)
    return json([show_session(session, acting.session.id) for session in found])


async def close_session(request: Request) -> Response:
    """DELETE sessions/{id}: one's own, `current` being this one."""
    acting = await require_admin(request, enrolling=True)
    id_ = acting.session.id if request.params["id"] == "current" else request.params["id"]
    async with request.services.store.transaction() as tx:
        if id_ == acting.session.id:
            await end_session(tx, request.tenant, id_, administrator_id=acting.administrator.id)
            await note(tx, request.tenant, "administrator.signed_out", visitors.who(request, acting))
        else:
            await people.revoke_session(tx, request.tenant, visitors.who(request, acting), id_)
    return empty()


async def confirm(request: Request) -> Response:
    """POST sessions/fresh: {password, otp}; answers the token that takes the place of this one."""
    acting = await require_admin(request, enrolling=True)
    body, person, tenant = await _body(request), acting.administrator, request.tenant
    if acting.session.via != "api":
        raise BadRequest("A browser confirms on the page /admin/authenticate.")
    place = _place(request)
    await check_password(request.services, tenant, email=person.email, password=_text(body, "password"), place=place)
    present = await factors_of(request.services.store, tenant, person.id)
    if body.get("otp"):
        proof = await check_code(request.services, tenant, person, _text(body, "otp"), place)
    elif password_is_enough(acting, present):
        proof = PASSWORD_ONLY
    else:
        raise CodeNeeded
    async with request.services.store.transaction() as tx:
        value = await renew_session(tx, tenant, acting.session, proof)
        await note(tx, tenant, "administrator.authenticated", visitors.who(request, acting), methods=list(proof.amr))
    if value is None:
        raise SignInNeeded
    return json({"token": value, "token_type": "Bearer"})


# --- oneself -----------------------------------------------------------------------------------------------------


async def show_me(request: Request) -> Response:
    """GET me."""
    acting = await require_admin(request, enrolling=True)
    present = await factors_of(request.services.store, request.tenant, acting.administrator.id)
    return json(
        {
            "administrator": show_person(acting.administrator, present),
            "session": show_session(acting.session, acting.session.id),
            "tenant": {"name": request.tenant.name, "domain": request.tenant.domain},
        }
    )


async def begin_totp(request: Request) -> Response:
    """POST me/totp: a secret for an authenticator app, to be confirmed with a code of it."""
    acting = await _fresh(request)
    async with request.services.store.transaction() as tx:
        secret = await offer_totp(tx, request.tenant, acting.administrator)
    uri = totp_uri(secret, issuer=f"{request.tenant.name} admin", account=acting.administrator.email)
    return json({"secret": secret, "uri": uri}, 201)


async def confirm_totp(request: Request) -> Response:
    """POST me/totp/confirm: {otp}; answers the recovery code, once. Then confirm the session with a new code."""
    acting, body = await _fresh(request), await _body(request)
    recovery = await prepare_recovery(request.services.passwords)
    async with request.services.store.transaction() as tx:
        shown = await people.enrol_totp(
            tx, request.tenant, visitors.who(request, acting), acting.administrator, _text(body, "otp"), recovery
        )
        value = None
        if shown is not None:
            value = await renew_session(tx, request.tenant, acting.session, WITH_CODE)
    if shown is None or value is None:
        raise WrongCredentials
    return json({"recovery_code": shown, "token": value, "token_type": "Bearer"})


# --- administrators ----------------------------------------------------------------------------------------------


async def list_people(request: Request) -> Response:
    """GET administrators."""
    await require_admin(request)
    store, tenant = request.services.store, request.tenant
    return json(
        [
            show_person(person, await factors_of(store, tenant, person.id))
            for person in await list_administrators(store, tenant)
        ]
    )


async def change_person(request: Request) -> Response:
    """PATCH administrators/{id}: {role, blocked}."""
    acting, body = await _admin(request), await _body(request)
    who, tenant, id_ = visitors.who(request, acting), request.tenant, request.params["id"]
    if not body or set(body) - {"role", "blocked"} or not isinstance(body.get("blocked", False), bool):
        raise BadRequest("Send `role`, `blocked` (true or false), or both.")
    async with request.services.store.transaction() as tx:
        if "role" in body:
            await people.change_role(tx, tenant, who, id_, role_of(_text(body, "role")))
        if "blocked" in body:
            await (people.block if body["blocked"] else people.unblock)(tx, tenant, who, id_)
        person = await get_administrator(tx, tenant, id_)
        present = await factors_of(tx, tenant, id_)
    return json(show_person(person, present))


async def remove_person(request: Request) -> Response:
    """DELETE administrators/{id}."""
    acting = await _admin(request)
    async with request.services.store.transaction() as tx:
        await people.remove(tx, request.tenant, visitors.who(request, acting), request.params["id"])
    return empty()


async def reset_factors(request: Request) -> Response:
    """POST administrators/{id}/reset-factors."""
    acting = await _admin(request)
    async with request.services.store.transaction() as tx:
        await people.reset_factors(tx, request.tenant, visitors.who(request, acting), request.params["id"])
    return empty()


async def reset_password(request: Request) -> Response:
    """POST administrators/{id}/reset-password: the link goes to them and to nobody else."""
    acting = await _admin(request)
    async with request.services.store.transaction() as tx:
        await people.reset_password(tx, request.tenant, visitors.who(request, acting), request.params["id"])
    return empty()


async def invite(request: Request) -> Response:
    """POST invitations: {email, role}; the answer holds the link, once."""
    acting, body = await _admin(request), await _body(request)
    lifetime = timedelta(hours=request.services.settings.admin_invitation_hours)
    async with request.services.store.transaction() as tx:
        link, url = await people.invite(
            tx, request.tenant, visitors.who(request, acting), email=_text(body, "email"),
            role=role_of(_text(body, "role")), lifetime=lifetime,
        )  # fmt: skip
    return json({**show_invitation(link), "url": url}, 201)


async def list_invitations(request: Request) -> Response:
    """GET invitations: those that are open."""
    await require_admin(request)
    return json([show_invitation(link) for link in await open_invitations(request.services.store, request.tenant)])


async def withdraw_invitation(request: Request) -> Response:
    """DELETE invitations/{id}."""
    acting = await _admin(request)
    async with request.services.store.transaction() as tx:
        await people.withdraw(tx, request.tenant, visitors.who(request, acting), request.params["id"])
    return empty()


async def accept_invitation(request: Request) -> Response:
    """POST invitations/accept: {token, name, password}, and {email} with the very first one."""
    body = await _body(request)
    person = await people.accept_invitation(
        request.services, request.tenant, token=_text(body, "token"), name=_text(body, "name"),
        password=_text(body, "password"), email=_text(body, "email"), place=_place(request),
    )  # fmt: skip
    return json(show_person(person, await factors_of(request.services.store, request.tenant, person.id)), 201)


async def list_entries(request: Request) -> Response:
    """GET audit?before=NUMBER&limit=NUMBER: the newest entries first."""
    await require_admin(request)
    limit = page_start(request.query.one("limit")) or 50
    found = await audit.latest_entries(
        request.services.store, request.tenant, limit=min(limit, MOST_ENTRIES),
        before=page_start(request.query.one("before")),
    )  # fmt: skip
    return json([entry.shown for entry in found])


# --- shapes ------------------------------------------------------------------------------------------------------


def show_person(person: Administrator, present: Factors) -> dict[str, Any]:
    """An administrator, with what they can sign in with besides a password."""
    return {
        "id": person.id,
        "email": person.email,
        "name": person.name,
        "role": person.role,
        "blocked": person.blocked,
        "created_at": iso(person.created_at_ms),
        "created_by": person.created_by,
        "last_sign_in_at": None if person.last_sign_in_at_ms is None else iso(person.last_sign_in_at_ms),
        "factors": {"totp": present.totp_since_ms is not None, "passkeys": len(present.passkeys)},
    }


def show_session(session: AdminSession, current: str) -> dict[str, Any]:
    """A session as its owner sees it."""
    return {
        "id": session.id,
        "current": session.id == current,
        "via": session.via,
        "methods": list(session.amr),
        "created_at": iso(session.created_at_ms),
        "authenticated_at": iso(session.authenticated_at_ms),
        "mfa_at": None if session.mfa_at_ms is None else iso(session.mfa_at_ms),
        "last_seen_at": iso(session.last_seen_at_ms),
        "expires_at": iso(session.expires_at_ms),
        "ip": session.ip,
        "user_agent": session.user_agent,
    }


def show_invitation(link: Link) -> dict[str, Any]:
    """An open invitation, without its link."""
    return {
        "id": link.id,
        "email": link.email,
        "role": link.role,
        "invited_by": link.issued_by,
        "created_at": iso(link.created_at_ms),
        "expires_at": iso(link.expires_at_ms),
    }


async def _body(request: Request) -> dict[str, Any]:
    value = await request.json(LONGEST_BODY)
    if not isinstance(value, dict):
        raise BadRequest("The body is a JSON object.")
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise BadRequest(f"{name} is a text.")
    return value


def _place(request: Request) -> Place:
    return Place(ip=request.client_ip, user_agent=request.headers.get("user-agent", ""), via="api")


async def _fresh(request: Request) -> Acting:
    return await require_admin(request, fresh_s=visitors.fresh_s(request), enrolling=True)


async def _admin(request: Request) -> Acting:
    return await require_admin(request, fresh_s=visitors.fresh_s(request), role="admin")


ROUTES = (
    ("POST", "sessions", open_session),
    ("GET", "sessions", list_sessions),
    ("DELETE", "sessions/{id}", close_session),
    ("POST", "sessions/fresh", confirm),
    ("GET", "me", show_me),
    ("POST", "me/totp", begin_totp),
    ("POST", "me/totp/confirm", confirm_totp),
    ("GET", "administrators", list_people),
    ("PATCH", "administrators/{id}", change_person),
    ("DELETE", "administrators/{id}", remove_person),
    ("POST", "administrators/{id}/reset-factors", reset_factors),
    ("POST", "administrators/{id}/reset-password", reset_password),
    ("GET", "invitations", list_invitations),
    ("POST", "invitations", invite),
    ("DELETE", "invitations/{id}", withdraw_invitation),
    ("POST", "invitations/accept", accept_invitation),
    ("GET", "audit", list_entries),
)
