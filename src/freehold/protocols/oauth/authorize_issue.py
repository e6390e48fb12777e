"""What an authorization request is answered with when nothing more is asked of the user: a code, tokens, or both.

Rules and actions have their say before; they may refuse the sign-in, or send the user elsewhere first.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from freehold import login
from freehold.domain.authenticators import MFA, REMEMBERED
from freehold.domain.extensions.post_login import Verdict
from freehold.domain.sessions import Session, finish_login, issue_code, touch_session
from freehold.domain.sessions.adjusting import adjust_session, hand_over, revoke
from freehold.domain.users import Profile, record_return
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.store import Transaction
from freehold.protocols.oauth.access_tokens import sign_user_access_token
from freehold.protocols.oauth.audiences import granted_scopes
from freehold.protocols.oauth.authorize_arrival import (
    MULTI_FACTOR_REQUIRED,
    OVER,
    Arrival,
    check_second_factor_possible,
    lacks_second_factor,
    needs_consent,
    record,
)
from freehold.protocols.oauth.authorize_request import AuthorizeError, PageError
from freehold.protocols.oauth.custom_code import Occasion, carry_out, custom_of, decide, kept, read_kept
from freehold.protocols.oauth.id_tokens import sign_id_token
from freehold.protocols.oauth.primary_user import primary_of
from freehold.protocols.oauth.responses import respond
from freehold.protocols.oauth.user_tokens import may_still_sign_in


async def issue(arrival: Arrival) -> Response:
    """Make what the response types ask for and deliver it."""
    request, client, session, user = arrival.request, arrival.client, arrival.session, arrival.user
    store, tenant = arrival.store, arrival.tenant
    if session is None or user is None or user.blocked:
        raise AuthorizeError("unauthorized", "user is blocked")
    if not await may_still_sign_in(store, tenant, client, session.connection):
        raise AuthorizeError("access_denied", "The connection is not enabled for this application.")
    if await lacks_second_factor(arrival):
        raise AuthorizeError("login_required", MULTI_FACTOR_REQUIRED)
    scopes, permissions = await granted_scopes(
        store, tenant, arrival.api, allowed=arrival.allowed, user_id=user.user_id, asked=request.scopes
    )
    verdict = await _ask_code(arrival, session, user, scopes)
    if verdict is not None:
        elsewhere = await _follow(arrival, session, verdict)
        if elsewhere is not None:
            return elsewhere
    custom = custom_of(verdict, scopes, tenant=tenant, audience=request.audience if arrival.api is not None else None)
    primary = await primary_of(store, tenant, user, verdict, methods=session.methods, audience=request.audience)
    if primary is not None:
        user = primary
        scopes, permissions = await granted_scopes(
            store, tenant, arrival.api, allowed=arrival.allowed, user_id=user.user_id, asked=request.scopes
        )
    scopes = custom.scopes(scopes)
    payload = code_payload(arrival, session, scopes, consented=await needs_consent(arrival))
    if verdict is not None:
        payload["custom"] = custom.as_payload()
    members: dict[str, Any] = {}
    async with store.transaction() as tx:
        if arrival.transaction is not None and not await finish_login(tx, tenant, arrival.transaction):
            raise PageError(OVER)
        if primary is not None:
            value = login.session_cookie(arrival.http)
            session = await hand_over(tx, tenant, session, user_id=user.user_id, value=value)
        details = await carry_out(tx, tenant, user.user_id, verdict)
        if "code" in request.wants:
            members["code"] = await issue_code(
                tx, tenant, client_id=client.client_id, user_id=user.user_id, payload=payload
            )
        await _note_visit(tx, arrival, session, user, details)
        adjusted = await adjust_session(tx, tenant, session, verdict.session if verdict is not None else ())
    front = [scope for scope in scopes if scope != "offline_access"]
    if "token" in request.wants:
        members["access_token"], members["expires_in"] = await sign_user_access_token(
            store, tenant, client, arrival.api, user_id=user.user_id, scopes=front, permissions=permissions,
            in_browser=arrival.api is not None or "code" not in request.wants, custom=custom.access_token,
            of_id_token=custom.id_token,
        )  # fmt: skip
        members["scope"] = " ".join(front) or None
        members["token_type"] = "Bearer"  # noqa: S105 - not a secret
    if "id_token" in request.wants:
        members["id_token"] = await sign_id_token(
            store, tenant, client, user, scopes=scopes, nonce=request.nonce, sid=session.id,
            auth_time=session.auth_time if request.max_age is not None else None, amr=_amr_of(session),
            access_token=members.get("access_token"), code=members.get("code"), custom=custom.id_token,
        )  # fmt: skip
    response = respond(arrival.http, request, members)
    value = login.session_cookie(arrival.http)
    if value and (adjusted.persistent, adjusted.expires_at_ms) != (session.persistent, session.expires_at_ms):
        login.set_session(response, adjusted, value, now_ms=tenant.clock.now_ms())
    return response


async def _ask_code(arrival: Arrival, session: Session, user: Profile, scopes: Sequence[str]) -> Verdict | None:
    """What rules and actions say to this sign-in; what they said before the user was elsewhere is gone on with."""
    request, transaction = arrival.request, arrival.transaction
    before: dict[str, Any] = (transaction.payload.get("custom") if transaction is not None else None) or {}
    if before.get("decided"):
        return read_kept(before)
    asked = {
        "requested_scopes": request.scopes, "redirect_uri": request.redirect_uri, "state": request.state,
        "login_hint": request.login_hint, "prompt": sorted(request.prompts), "response_type": sorted(request.wants),
    }  # fmt: skip
    occasion = Occasion(
        http=arrival.http, user=user, client=arrival.client, api=arrival.api, connection=session.connection,
        protocol="oidc-basic-profile" if "code" in request.wants else "oidc-implicit-profile", scopes=scopes,
        session=session, can_redirect=not arrival.is_silent, body=await _form_of(arrival.http),
        query=None if before else request.query,
        transaction={name: value for name, value in asked.items() if value},
    )  # fmt: skip
    if before:
        resume_at = before.get("resume_at")
        verdict = read_kept(before) if resume_at is not None else None
        return await decide(occasion, verdict=verdict, resume_at=resume_at, came_back=True)
    return await decide(occasion)


async def _follow(arrival: Arrival, session: Session, verdict: Verdict) -> Response | None:
    """Refuse, or send the user where code wants them first; None when nothing stands in the way.

    Raises AuthorizeError in the words of the code.
    """
    if verdict.denied is not None:
        async with arrival.store.transaction() as tx:
            await revoke(
                tx, arrival.tenant, user_id=session.user_id, session_id=session.id, token_id=None,
                session=verdict.session, refresh_token=(),
            )  # fmt: skip
            details = await carry_out(tx, arrival.tenant, session.user_id, verdict)
            if arrival.transaction is None and not arrival.is_silent:
                await record(
                    tx, arrival.http, arrival.client, "f", description=verdict.denied[1], user_id=session.user_id,
                    connection=session.connection, details=details,
                )  # fmt: skip
        raise AuthorizeError(*verdict.denied)
    if verdict.redirect is not None:
        return await login.send_elsewhere(
            arrival.http, arrival.transaction, request=msgspec.to_builtins(arrival.request), session=session,
            target=verdict.redirect, custom=kept(verdict, resume_at=verdict.resume_at),
        )  # fmt: skip
    if verdict.multifactor is not None and not _has_shown(session, verdict.multifactor):
        if arrival.is_silent:
            raise AuthorizeError("login_required", MULTI_FACTOR_REQUIRED)
        await check_second_factor_possible(arrival)
        return await login.ask_more(
            arrival.http, arrival.transaction, request=msgspec.to_builtins(arrival.request), session=session,
            custom=kept(verdict, decided=True),
        )  # fmt: skip
    return None


async def _form_of(http: Request) -> dict[str, str] | None:
    """What was sent to `/continue` as a form."""
    return dict((await http.form()).pairs()) if http.method == "POST" else None


def _has_shown(session: Session, wanted: dict[str, Any]) -> bool:
    """Whether the session has shown a second factor, or a browser that is remembered where code allows that."""
    names = {method.get("name") for method in session.methods}
    return MFA in names or (wanted.get("allowRememberBrowser", True) is not False and REMEMBERED in names)


async def _note_visit(
    tx: Transaction, arrival: Arrival, session: Session, user: Profile, details: dict[str, Any]
) -> None:
    """Write down that a session was used. Who has just come through the login pages is in the log already."""
    device = login.device_of(arrival.http)
    lifetimes, _ = await login.session_rules(arrival.store, arrival.tenant)
    await touch_session(
        tx, arrival.tenant, session, client_id=arrival.client.client_id, device=device,
        lifetimes=lifetimes[session.persistent],
    )  # fmt: skip
    if arrival.transaction is not None and arrival.transaction.payload.get("signed_in"):
        return
    await record_return(tx, arrival.tenant, user.user_id, ip=device.ip)
    await record(
        tx, arrival.http, arrival.client, "ssa" if arrival.is_silent else "s", scope=arrival.request.scope,
        user_id=user.user_id, user_name=user.email or user.username or user.user_id, connection=session.connection,
        details={"session_id": session.id, **details},
    )  # fmt: skip


def code_payload(arrival: Arrival, session: Session, scopes: Sequence[str], *, consented: bool) -> dict[str, Any]:
    """What a code stands for."""
    request = arrival.request
    payload = {
        "redirect_uri": request.redirect_uri if request.redirect_uri_given else None,
        "scope": " ".join(scopes),
        "asked": request.scope,
        "nonce": request.nonce,
        "audience": request.audience if arrival.api is not None else None,
        "code_challenge": request.code_challenge,
        "code_challenge_method": request.code_challenge_method,
        "sid": session.id,
        "connection": session.connection,
        "auth_time": session.auth_time,
        "max_age": request.max_age is not None,
        "amr": _amr_of(session),
        "consented": consented,
    }
    return {name: value for name, value in payload.items() if value}


def _amr_of(session: Session) -> list[str]:
    """The `amr` claim: only a second factor is worth telling, as at Auth0."""
    return [MFA] if any(method.get("name") == MFA for method in session.methods) else []
