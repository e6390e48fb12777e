"""Who is acting: the one door through which requests of administrators come.

A browser shows a cookie, and every form it sends has to be one of ours; a script shows the token that it was given for
a password and a second factor. Access tokens of the Management API open nothing here: machines are nobody.
"""

from datetime import timedelta

import msgspec

from freehold.domain.administrators import passkeys
from freehold.domain.administrators.people import Administrator, Role, find_administrator
from freehold.domain.administrators.sessions import AdminSession, Lifetimes, find_session, touch_session
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import Forbidden, Unauthorized
from freehold.kernel.http.csrf import form_token, verify_form
from freehold.kernel.http.request import Request
from freehold.kernel.store import Store

COOKIE = "__Host-freehold-admin"
CSRF_FIELD, CSRF_HEADER = "csrf_token", "x-csrf-token"
_SKEW_MS = 5_000
"""So much may the clocks of two servers of one installation differ."""
_READING = frozenset({"GET", "HEAD"})
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


class SignInNeeded(Unauthorized):
    """401: nobody is signed in, or not any more."""

    code = "sign_in_required"

    def __init__(self) -> None:
        super().__init__("Sign in to the dashboard first.")


class FreshAuthenticationNeeded(Forbidden):
    """403: this step wants to know once more, and with a second factor, who is there."""

    code = "fresh_authentication_required"

    def __init__(self) -> None:
        super().__init__("Confirm that it is you: this needs an authentication of the last few minutes.")


class SecondFactorNeeded(Forbidden):
    """403: the administrator has no second factor yet, and cannot do this without."""

    code = "second_factor_required"

    def __init__(self) -> None:
        super().__init__("Set up a second factor first: an authenticator app or a passkey.")


class RoleTooLow(Forbidden):
    """403: another role may do this."""

    code = "insufficient_role"

    def __init__(self, role: Role) -> None:
        super().__init__(f"This needs the role {role}.")


class Acting(msgspec.Struct, frozen=True, kw_only=True):
    """An administrator in one request."""

    administrator: Administrator
    session: AdminSession
    csrf_token: str = ""
    """For the field `csrf_token` of forms, or the header `x-csrf-token`; empty for a script, which needs none."""


async def require_admin(
    request: Request, *, fresh_s: int | None = None, role: Role = "viewer", enrolling: bool = False
) -> Acting:
    """Who is acting in this request; a form, or another change from a browser, is checked to be our own.

    With `fresh_s`, both factors must have been shown within so many seconds, and a recovery code is none. `enrolling`
    is for managing one's own factors: it admits who has none yet, and there a fresh password, or a recovery code, does.
    Raises SignInNeeded, CrossSiteRequest, SecondFactorNeeded, RoleTooLow, FreshAuthenticationNeeded.
    """
    tenant: TenantScope = request.tenant
    store: Store = request.services.store
    settings: Settings = request.services.settings
    session, token = await _session(request, store, tenant)
    person = await find_administrator(store, tenant, session.administrator_id)
    if person is None or person.blocked:
        raise SignInNeeded
    if token and request.method not in _READING:
        verify_form(request, transaction=token, token=await _sent_token(request))
    proven = session.mfa_at_ms is not None or "recovery" in session.amr
    if settings.admin_mfa_required and not proven and not enrolling:
        raise SecondFactorNeeded
    if not person.may(role):
        raise RoleTooLow(role)
    if fresh_s is not None:
        await _check_fresh(store, tenant, person, session, fresh_s, enrolling=enrolling)
    await touch_session(store, tenant, session, idle=lifetimes(settings).idle)
    return Acting(administrator=person, session=session, csrf_token=form_token(token) if token else "")


async def current_session(request: Request) -> AdminSession | None:
    """The session of this browser, or None; says nothing about what it may do."""
    tenant: TenantScope = request.tenant
    return await find_session(request.services.store, tenant, request.cookies.get(COOKIE), via="browser")


async def session_of(request: Request) -> AdminSession | None:
    """The session shown by cookie or token, or None; says nothing about what it may do."""
    try:
        session, _ = await _session(request, request.services.store, request.tenant)
    except SignInNeeded:
        return None
    return session


async def has_second_factor(store: Store, tenant: TenantScope, person: Administrator) -> bool:
    """Whether somebody has an authenticator or a passkey; a recovery code stands in for one and is none."""
    return person.totp_since_ms is not None or bool(await passkeys.passkeys_of(store, tenant, person.id))


def lifetimes(settings: Settings) -> Lifetimes:
    """How long sessions last here."""
    return Lifetimes(
        idle=timedelta(minutes=settings.admin_session_idle_minutes),
        absolute=timedelta(hours=settings.admin_session_hours),
    )


async def _session(request: Request, store: Store, tenant: TenantScope) -> tuple[AdminSession, str]:
    """The session, and the cookie's value where it came by cookie. A token that does not hold is not forgiven."""
    authorization = request.headers.get("authorization")
    session: AdminSession | None
    if authorization is not None:
        scheme, _, value = authorization.partition(" ")
        session = None
        if scheme.lower() == "bearer":
            session = await find_session(store, tenant, value.strip(), via="api")
        value = ""
    else:
        value = request.cookies.get(COOKIE, "")
        session = await find_session(store, tenant, value, via="browser")
    if session is None:
        raise SignInNeeded
    return session, value


async def _sent_token(request: Request) -> str | None:
    if request.media_type in _FORMS:
        return (await request.form()).one(CSRF_FIELD)
    return request.headers.get(CSRF_HEADER)


async def _check_fresh(
    store: Store, tenant: TenantScope, person: Administrator, session: AdminSession, fresh_s: int, *, enrolling: bool
) -> None:
    now = tenant.clock.now_ms()
    fresh = range(now - fresh_s * 1000, now + _SKEW_MS)  # a time to come is none: the clock was set back since
    has_factor = await has_second_factor(store, tenant, person)
    if not has_factor and not enrolling:
        raise SecondFactorNeeded
    weaker = enrolling and (not has_factor or "recovery" in session.amr)
    if session.authenticated_at_ms not in fresh:
        raise FreshAuthenticationNeeded
    if not weaker and (session.mfa_at_ms is None or session.mfa_at_ms not in fresh):
        raise FreshAuthenticationNeeded
