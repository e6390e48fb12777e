"""One's own security: authenticator app, passkeys, recovery code, password, and where one is signed in."""

import io
from typing import Any

from freehold.domain.administrators import Acting, PasskeyRefused, SignInNeeded, require_admin
from freehold.domain.administrators.factors import factors_of, offer_totp, offered_totp, prepare_recovery
from freehold.domain.administrators.management import (
    LastFactor,
    change_password,
    enrol_passkey,
    enrol_totp,
    new_recovery_code,
    remove_factor,
    revoke_session,
)
from freehold.domain.administrators.passwords import MIN_LENGTH, prepare_password
from freehold.domain.administrators.records import note
from freehold.domain.administrators.sessions import end_sessions_of, sessions_of
from freehold.domain.administrators.sign_in import WITH_CODE, WITH_PASSKEY
from freehold.domain.tenants import SETTINGS
from freehold.domain.users import PasswordRefused
from freehold.kernel.crypto.otp import totp_uri
from freehold.kernel.crypto.passwords import PasswordNotUsable, PasswordTooLong
from freehold.kernel.declare import documents
from freehold.kernel.errors import Conflict
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.surfaces.dashboard import visitors
from freehold.surfaces.dashboard.joining import worded
from freehold.surfaces.dashboard.passkeys import answered
from freehold.surfaces.dashboard.sign_in import renewed
from freehold.surfaces.dashboard.visitors import HOME, SCREENS, SECURITY, field, go


async def show_page(request: Request) -> Response:
    """GET /admin/security."""
    return await _page(request, await require_admin(request, enrolling=True))


async def _page(request: Request, acting: Acting, *, problem: Any = None, done: str = "") -> Response:
    store, tenant, person = request.services.store, request.tenant, acting.administrator
    sessions = [
        visitors.describe_session(session, acting.session.id)
        for session in await sessions_of(store, tenant, person.id)
    ]  # fmt: skip
    present = await factors_of(store, tenant, person.id)
    return await SCREENS.render(
        request, acting, "security.html", active="security", factors=present, sessions=sessions, problem=problem,
        done=done, needed=request.services.settings.admin_mfa_required and not present.any,
        recovered="recovery" in acting.session.amr, min_length=MIN_LENGTH,
    )  # fmt: skip


# --- authenticator app -------------------------------------------------------------------------------------------


async def show_authenticator(request: Request) -> Response:
    """GET /admin/security/authenticator: a new secret, as a QR code and as text."""
    acting = await _fresh(request)
    async with request.services.store.transaction() as tx:
        secret = await offer_totp(tx, request.tenant, acting.administrator)
    return await _authenticator_page(request, acting, secret)


async def submit_authenticator(request: Request) -> Response:
    """POST /admin/security/authenticator: a code of the app proves that it has the secret."""
    acting = await _fresh(request)
    code = field(await request.form(), "code")
    recovery = await prepare_recovery(request.services.passwords)
    async with request.services.store.transaction() as tx:
        shown = await enrol_totp(
            tx, request.tenant, visitors.who(request, acting), acting.administrator, code, recovery
        )  # fmt: skip
    if shown is None:
        secret = await offered_totp(request.services.store, request.tenant, acting.administrator)
        if secret is None:
            return go(f"{SECURITY}/authenticator")
        return await _authenticator_page(request, acting, secret, problem="authenticator.wrong")
    page = await _recovery_page(request, shown)
    return await renewed(request, acting, WITH_CODE, lambda: page)


async def _authenticator_page(request: Request, acting: Acting, secret: str, *, problem: Any = None) -> Response:
    import segno

    settings: Any = await documents.cached_singleton(request.services.store, request.tenant, SETTINGS)
    issuer = settings.friendly_name if isinstance(settings.friendly_name, str) else ""
    uri = totp_uri(secret, issuer=f"{issuer or request.tenant.name} admin", account=acting.administrator.email)
    drawing = io.BytesIO()
    segno.make(uri, error="m").save(drawing, kind="svg", xmldecl=False, svgns=True, nl=False, omitsize=True, border=1)
    return await SCREENS.render(
        request, acting, "authenticator.html", active="security", qr=drawing.getvalue().decode(), uri=uri,
        secret=secret, problem=problem,
    )  # fmt: skip


# --- passkeys and recovery code ----------------------------------------------------------------------------------


async def submit_passkey(request: Request) -> Response:
    """POST /admin/security/passkeys: register what the browser made."""
    acting = await _fresh(request)
    form = await request.form()
    recovery = await prepare_recovery(request.services.passwords)
    try:
        challenge, response = await answered(request, form, bound_to=acting.session.id)
        async with request.services.store.transaction() as tx:
            _, shown = await enrol_passkey(
                tx, request.tenant, visitors.who(request, acting), acting.administrator, challenge=challenge,
                response=response, name=field(form, "name"), recovery=recovery,
            )  # fmt: skip
    except (PasskeyRefused, Conflict) as refusal:
        return await _page(request, acting, problem=refusal)
    if shown is None:
        return await renewed(request, acting, WITH_PASSKEY, lambda: go(SECURITY))
    page = await _recovery_page(request, shown)
    return await renewed(request, acting, WITH_PASSKEY, lambda: page)


async def remove(request: Request) -> Response:
    """POST /admin/security/remove: take the authenticator (`totp`) or a passkey away."""
    acting = await _fresh(request)
    factor = field(await request.form(), "factor")
    try:
        async with request.services.store.transaction() as tx:
            await remove_factor(
                tx, request.tenant, visitors.who(request, acting), acting.administrator, factor,
                last_may_go=not request.services.settings.admin_mfa_required,
            )  # fmt: skip
    except LastFactor as refusal:
        return await _page(request, acting, problem=refusal)
    return go(SECURITY)


async def renew_recovery_code(request: Request) -> Response:
    """POST /admin/security/recovery-code: another one, shown once."""
    acting = await _fresh(request)
    recovery = await prepare_recovery(request.services.passwords)
    async with request.services.store.transaction() as tx:
        shown = await new_recovery_code(
            tx, request.tenant, visitors.who(request, acting), acting.administrator, recovery
        )  # fmt: skip
    return await _recovery_page(request, shown)


async def _recovery_page(request: Request, code: str) -> Response:
    return await SCREENS.render(request, None, "recovery_code.html", code=code, next_url=HOME, used=False)


# --- password and sessions ---------------------------------------------------------------------------------------


async def submit_password(request: Request) -> Response:
    """POST /admin/security/password."""
    acting = await _fresh(request)
    form, person = await request.form(), acting.administrator
    password = form.get("password")
    if password != form.get("password_again"):
        return await _page(request, acting, problem="password.unlike")
    try:
        stored = await prepare_password(request.services.passwords, password, email=person.email, name=person.name)
    except (PasswordRefused, PasswordTooLong, PasswordNotUsable) as refusal:
        return await _page(request, acting, problem=worded(refusal))
    async with request.services.store.transaction() as tx:
        await change_password(tx, request.tenant, visitors.who(request, acting), person, stored)
    return await _page(request, acting, done="security.password_changed")


async def end_session(request: Request) -> Response:
    """POST /admin/security/sessions: end one of one's sessions, or all others."""
    acting = await require_admin(request, enrolling=True)
    session_id, who = field(await request.form(), "session"), visitors.who(request, acting)
    async with request.services.store.transaction() as tx:
        if session_id == "others":
            ended = await end_sessions_of(tx, request.tenant, acting.administrator.id, but=acting.session.id)
            await note(tx, request.tenant, "administrator.session_revoked", who, session="others", count=ended)
        else:
            await revoke_session(tx, request.tenant, who, session_id)
    if session_id == acting.session.id:
        raise SignInNeeded
    return go(SECURITY)


async def _fresh(request: Request) -> Acting:
    return await require_admin(request, fresh_s=visitors.fresh_s(request), enrolling=True)
