"""Sessions and refresh tokens in the Management API."""

from typing import Any

import msgspec

from freehold.domain.sessions import refresh_tokens, sessions
from freehold.kernel.declare import Operation, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.fields import Fields
from freehold.kernel.declare.paging import Page
from freehold.kernel.errors import BadRequest, NotFound
from freehold.kernel.http.response import Response, json


class SessionPatch(msgspec.Struct, forbid_unknown_fields=True):
    """The body of PATCH on a session."""

    session_metadata: dict[str, Any] | None = None


class RefreshTokenPatch(msgspec.Struct, forbid_unknown_fields=True):
    """The body of PATCH on a refresh token."""

    refresh_token_metadata: dict[str, Any] | None = None


class Revocation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /refresh-tokens/revoke`."""

    ids: list[str] | None = None
    user_id: str | None = None
    client_id: str | None = None
    audience: str | None = None


class AccessRevocation(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /users/{id}/revoke-access`."""

    session_id: str | None = None
    preserve_refresh_tokens: bool = False


# --- sessions ------------------------------------------------------------------------------------------------------


async def get_session(call: Call) -> dict[str, Any]:
    """One session. Raises NotFound."""
    return sessions.shown(await _session(call))


async def patch_session(call: Call) -> dict[str, Any]:
    """Replace the session's metadata. Raises NotFound."""
    session = await _session(call)
    body: SessionPatch = call.body
    await sessions.set_session_metadata(call.tx, call.tenant, session.id, body.session_metadata)
    return sessions.shown(await _session(call))


async def delete_session(call: Call) -> Response:
    """End a session; one that is not there is a success."""
    await sessions.end_session(call.tx, call.tenant, call.params["id"])
    return _accepted()


async def revoke_session(call: Call) -> Response:
    """End a session with the refresh tokens that came from it. Raises NotFound."""
    session = await _session(call)
    await sessions.end_session(call.tx, call.tenant, session.id)
    await refresh_tokens.revoke_refresh_tokens_of(call.tx, call.tenant, session.user_id, session_id=session.id)
    return _accepted()


async def list_user_sessions(call: Call) -> dict[str, Any]:
    """A user's sessions. Raises NotFound for an unknown user."""
    user_id = await _user(call)
    size, after = Page.taken(call)
    found = await sessions.sessions_of(call.store, call.tenant, user_id, after=after, limit=size + 1)
    return await _listed(
        call, "sessions", [sessions.shown(session) for session in found], size, table="sessions", user_id=user_id
    )


async def delete_user_sessions(call: Call) -> Response:
    """End all sessions of a user. Raises NotFound for an unknown user."""
    await sessions.end_sessions_of(call.tx, call.tenant, await _user(call))
    return _accepted()


# --- refresh tokens ------------------------------------------------------------------------------------------------


async def get_refresh_token(call: Call) -> dict[str, Any]:
    """One refresh token. Raises NotFound."""
    return refresh_tokens.shown(await _refresh_token(call))


async def patch_refresh_token(call: Call) -> dict[str, Any]:
    """Replace the token's metadata. Raises NotFound."""
    token = await _refresh_token(call)
    body: RefreshTokenPatch = call.body
    await refresh_tokens.set_refresh_token_metadata(call.tx, call.tenant, token.id, body.refresh_token_metadata)
    return refresh_tokens.shown(await _refresh_token(call))


async def delete_refresh_token(call: Call) -> Response:
    """Revoke one refresh token; one that is not there is a success."""
    await refresh_tokens.revoke_refresh_token(call.tx, call.tenant, call.params["id"])
    return _accepted()


async def list_refresh_tokens(call: Call) -> dict[str, Any]:
    """Refresh tokens of the user named in the query. Raises BadRequest, NotFound."""
    user_id = call.query("user_id")
    if not user_id:
        raise BadRequest("Missing required 'user_id' parameter.", code="invalid_query_string")
    size, after = Page.taken(call)
    found = await refresh_tokens.refresh_tokens_of(
        call.store, call.tenant, await _user(call, user_id), client_id=call.query("client_id") or "", after=after,
        limit=size + 1,
    )  # fmt: skip
    fields = Fields.of(call)
    shown = [refresh_tokens.shown(token) for token in found]
    return {"refresh_tokens": [fields.apply(token) for token in shown[:size]], **_next(shown, size)}


async def list_user_refresh_tokens(call: Call) -> dict[str, Any]:
    """A user's refresh tokens. Raises NotFound for an unknown user."""
    user_id = await _user(call)
    size, after = Page.taken(call)
    found = await refresh_tokens.refresh_tokens_of(call.store, call.tenant, user_id, after=after, limit=size + 1)
    shown = [refresh_tokens.shown(token) for token in found]
    return await _listed(call, "tokens", shown, size, table="refresh_tokens", user_id=user_id)


async def delete_user_refresh_tokens(call: Call) -> Response:
    """Revoke all refresh tokens of a user. Raises NotFound for an unknown user."""
    await refresh_tokens.revoke_refresh_tokens_of(call.tx, call.tenant, await _user(call))
    return _accepted()


async def revoke_refresh_tokens(call: Call) -> Response:
    """Revoke tokens by id, or a user's, or a user's of one client. Raises BadRequest for any other combination."""
    body: Revocation = call.body
    if body.ids is not None and not (body.user_id or body.client_id or body.audience):
        for token_id in body.ids:
            await refresh_tokens.revoke_refresh_token(call.tx, call.tenant, token_id)
    elif body.user_id and body.ids is None and body.audience is None:
        await refresh_tokens.revoke_refresh_tokens_of(
            call.tx, call.tenant, body.user_id, client_id=body.client_id or ""
        )
    else:
        raise BadRequest("Invalid combination of parameters.")
    return _accepted()


async def revoke_access(call: Call) -> Response:
    """End a user's sessions, or one, and with them the refresh tokens unless those are to be preserved."""
    body: AccessRevocation = call.body
    user_id, session_id = await _user(call), body.session_id
    if session_id:
        session = await sessions.find_session_by_id(call.tx, call.tenant, session_id)
        if session is not None and session.user_id == user_id:
            await sessions.end_session(call.tx, call.tenant, session_id)
    else:
        await sessions.end_sessions_of(call.tx, call.tenant, user_id)
    if not body.preserve_refresh_tokens:
        await refresh_tokens.revoke_refresh_tokens_of(call.tx, call.tenant, user_id, session_id=session_id or "")
    return _accepted()


# --- inside --------------------------------------------------------------------------------------------------------


async def _session(call: Call) -> sessions.Session:
    session = await sessions.find_session_by_id(call.reader, call.tenant, call.params["id"])
    if session is None:
        raise NotFound("The session does not exist.", code="inexistent_session")
    return session


async def _refresh_token(call: Call) -> refresh_tokens.RefreshToken:
    token = await refresh_tokens.refresh_token_by_id(call.reader, call.tenant, call.params["id"])
    if token is None:
        raise NotFound("The refresh token does not exist.", code="inexistent_refresh_token")
    return token


async def _user(call: Call, user_id: str | None = None) -> str:
    """The user's id in the path or given. Raises NotFound when there is no such user."""
    user_id = user_id or next(iter(call.params.values()))
    users = call.tenant.registry.collection("users")
    if await documents.read(call.reader, call.tenant, users, user_id) is None:
        raise documents.missing(users)
    return user_id


async def _listed(
    call: Call, name: str, shown: list[dict[str, Any]], size: int, *, table: str, user_id: str
) -> dict[str, Any]:
    body: dict[str, Any] = {name: shown[:size], **_next(shown, size)}
    if call.query("include_totals") == "true":
        sql = f"select count(*) from {table} where tenant_id = :tenant_id and user_id = :user_id"  # noqa: S608 - a name of ours
        row = await call.store.one(sql, tenant_id=call.tenant.id, user_id=user_id)
        body["total"] = row[0] if row else 0
    return body


def _next(shown: list[dict[str, Any]], size: int) -> dict[str, str]:
    return {"next": shown[size - 1]["id"]} if len(shown) > size else {}


def _accepted() -> Response:
    """202 with an empty object, as Auth0's revocations answer."""
    return json(b"{}", 202)


_READ_SESSIONS, _DELETE_SESSIONS = ("read:sessions",), ("delete:sessions",)
_READ_TOKENS, _DELETE_TOKENS = ("read:refresh_tokens",), ("delete:refresh_tokens",)

OPERATIONS = (
    Operation(method="GET", path="sessions/{id}", scopes=_READ_SESSIONS, handler=get_session, name="sessions.get"),
    Operation(
        method="PATCH", path="sessions/{id}", scopes=("update:sessions",), body=SessionPatch, handler=patch_session,
        name="sessions.update", audit="Update a session",
    ),
    Operation(
        method="DELETE", path="sessions/{id}", scopes=_DELETE_SESSIONS, handler=delete_session,
        name="sessions.delete", status=202, audit="Delete a session",
    ),
    Operation(
        method="POST", path="sessions/{id}/revoke", scopes=("delete:sessions", "delete:refresh_tokens"),
        handler=revoke_session, name="sessions.revoke", status=202, audit="Revoke a session",
    ),
    Operation(
        method="GET", path="users/{user_id}/sessions", scopes=_READ_SESSIONS, handler=list_user_sessions,
        name="users.sessions.list",
    ),
    Operation(
        method="DELETE", path="users/{user_id}/sessions", scopes=_DELETE_SESSIONS, handler=delete_user_sessions,
        name="users.sessions.delete", status=202, audit="Delete the sessions of a user",
    ),
    Operation(
        method="GET", path="refresh-tokens", scopes=_READ_TOKENS, handler=list_refresh_tokens,
        name="refresh_tokens.list",
    ),
    Operation(
        method="POST", path="refresh-tokens/revoke", scopes=_DELETE_TOKENS, body=Revocation,
        handler=revoke_refresh_tokens, name="refresh_tokens.revoke", status=202, audit="Revoke refresh tokens",
    ),
    Operation(
        method="GET", path="refresh-tokens/{id}", scopes=_READ_TOKENS, handler=get_refresh_token,
        name="refresh_tokens.get",
    ),
    Operation(
        method="PATCH", path="refresh-tokens/{id}", scopes=("update:refresh_tokens",), body=RefreshTokenPatch,
        handler=patch_refresh_token, name="refresh_tokens.update", audit="Update a refresh token",
    ),
    Operation(
        method="DELETE", path="refresh-tokens/{id}", scopes=_DELETE_TOKENS, handler=delete_refresh_token,
        name="refresh_tokens.delete", status=202, audit="Delete a refresh token",
    ),
    Operation(
        method="GET", path="users/{user_id}/refresh-tokens", scopes=_READ_TOKENS, handler=list_user_refresh_tokens,
        name="users.refresh_tokens.list",
    ),
    Operation(
        method="DELETE", path="users/{user_id}/refresh-tokens", scopes=_DELETE_TOKENS,
        handler=delete_user_refresh_tokens, name="users.refresh_tokens.delete", status=202,
        audit="Delete the refresh tokens of a user",
    ),
    Operation(
        method="POST", path="users/{id}/revoke-access", scopes=("delete:sessions", "delete:refresh_tokens"),
        body=AccessRevocation, handler=revoke_access, name="users.revoke_access", status=202,
        audit="Revoke the access of a user",
    ),
)  # fmt: skip
