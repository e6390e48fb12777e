"""Rules and post-login actions at the places where tokens for a user are decided: what they are told, and what of their
verdict goes into tokens, users and the log.

Tokens that come by a code were decided when the code was made; its payload carries what code added. All other grants
with a user ask at each exchange. A tenant without code pays one look into its cache.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from freehold.domain.access import ResourceServer, roles_of
from freehold.domain.applications import Client
from freehold.domain.connections import CONNECTIONS
from freehold.domain.extensions import claims
from freehold.domain.extensions.executions import keep_all, summary
from freehold.domain.extensions.post_login import Facts, Verdict, has_code, run_post_login
from freehold.domain.sessions import Session
from freehold.domain.sessions.adjusting import Commands
from freehold.domain.users import USERS, Profile
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import Forbidden
from freehold.kernel.http.request import Request
from freehold.kernel.store import Transaction
from freehold.login.at_request import AtRequest
from freehold.login.code_facts import client_facts, request_facts


class Custom(msgspec.Struct, frozen=True):
    """What code adds to the tokens of one sign-in."""

    id_token: Mapping[str, Any]
    access_token: Mapping[str, Any]
    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    refresh: Commands = ()
    """What code asked for the refresh token."""

    def scopes(self, granted: Sequence[str]) -> list[str]:
        """The scopes that were granted, with those that code added and without those it took away."""
        return [scope for scope in (*granted, *self.added) if scope not in self.removed]

    def as_payload(self) -> dict[str, Any]:
        """As a code carries it."""
        return {"id": self.id_token, "access": self.access_token, "added": self.added, "removed": self.removed,
                "refresh": self.refresh}  # fmt: skip

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any] | None) -> "Custom":
        """What a code carried."""
        if not payload:
            return NOTHING
        return cls(payload["id"], payload["access"], payload["added"], payload["removed"], payload.get("refresh", ()))


NOTHING = Custom({}, {})


class Occasion(AtRequest, msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in, or a grant that stands for one."""

    http: Request
    user: Profile
    client: Client
    api: ResourceServer | None
    connection: str
    protocol: str
    scopes: Sequence[str]
    ip: str = ""
    query: Mapping[str, str] | None = None
    """What the application asked, where the browser is at one of our own addresses by now."""
    body: Mapping[str, Any] | None = None
    session: Session | None = None
    amr: Sequence[str] = ()
    transaction: Mapping[str, Any] | None = None
    can_redirect: bool = False
    refresh_token: dict[str, Any] | None = None


async def decide(
    occasion: Occasion, *, verdict: Verdict | None = None, resume_at: int | None = None, came_back: bool = False
) -> Verdict | None:
    """What code says to a sign-in; None where there is none."""
    if not await has_code(occasion.store, occasion.tenant):
        return None
    return await run_post_login(
        occasion.http.services, occasion.tenant, await _facts(occasion), verdict=verdict, resume_at=resume_at,
        came_back=came_back, ask=_answers(occasion),
    )  # fmt: skip


def custom_of(verdict: Verdict | None, granted: Sequence[str], *, tenant: TenantScope, audience: str | None) -> Custom:
    """What goes into tokens: restricted claims are left out without a word, as at Auth0."""
    if verdict is None:
        return NOTHING
    only_namespaced = audience == tenant.management_audience
    return Custom(
        claims.allowed(verdict.id_token),
        claims.allowed(verdict.access_token, only_namespaced=only_namespaced),
        [scope for scope in verdict.scopes if scope not in granted],
        [scope for scope in granted if scope not in verdict.scopes],
        verdict.refresh_token,
    )


async def carry_out(tx: Transaction, tenant: TenantScope, user_id: str, verdict: Verdict | None) -> dict[str, Any]:
    """Store what code changed at the user, and the records of what ran; answers the `details` for the log entry."""
    if verdict is None:
        return {}
    changes = {
        name: values
        for name, values in (("user_metadata", verdict.user_metadata), ("app_metadata", verdict.app_metadata))
        if values
    }
    if changes:
        await documents.update(tx, tenant, USERS, user_id, changes)
    await keep_all(tx, tenant, verdict.executions)
    details = summary(verdict.executions)
    verdict.user_metadata, verdict.app_metadata, verdict.executions = {}, {}, []
    return details


def kept(verdict: Verdict, **members: Any) -> dict[str, Any]:
    """A verdict as the payload of a sign-in keeps it while the user is elsewhere."""
    return {"verdict": msgspec.to_builtins(verdict), **members}


def read_kept(payload: Mapping[str, Any]) -> Verdict:
    """A verdict that was kept."""
    return msgspec.convert(payload["verdict"], Verdict)


async def _facts(occasion: Occasion) -> Facts:
    store, tenant, user = occasion.store, occasion.tenant, occasion.user
    record = await documents.read(store, tenant, USERS, user.user_id)
    shown = dict(record.document) if record is not None else {}
    shown.update(shown.pop("other_attributes", None) or {})
    connection = await documents.cached_by(store, tenant, CONNECTIONS, name=occasion.connection)
    known = {"id": "", "name": occasion.connection, "strategy": "auth0", "metadata": {}}
    if connection is not None:
        metadata = connection.metadata if connection.metadata is not UNSET else {}
        known |= {"id": connection.id, "strategy": connection.strategy, "metadata": metadata}
    session = occasion.session
    methods = [dict(method) for method in session.methods] if session is not None else []
    if session is None:
        now = iso(tenant.clock.now())
        methods = [{"name": name, "timestamp": now} for name in ("pwd", *occasion.amr)]
    return Facts(
        user=shown,
        client=client_facts(occasion.client),
        connection=known,
        request=request_facts(occasion.http, ip=occasion.ip, query=occasion.query, body=occasion.body),
        protocol=occasion.protocol,
        scopes=list(occasion.scopes),
        audience=occasion.api.identifier if occasion.api is not None else None,
        roles=[name for _, name in await roles_of(store, tenant, user.user_id)],
        logins_count=int(shown.get("logins_count") or 0),
        methods=methods,
        session=_session_facts(session) if session is not None else None,
        refresh_token=occasion.refresh_token,
        transaction=dict(occasion.transaction or {}),
        can_redirect=occasion.can_redirect,
    )


def _session_facts(session: Session) -> dict[str, Any]:
    return {
        "id": session.id, "user_id": session.user_id, "created_at": iso(session.created_at_ms),
        "authenticated_at": iso(session.authenticated_at_ms), "updated_at": iso(session.updated_at_ms),
        "idle_expires_at": iso(session.idle_expires_at_ms), "expires_at": iso(session.expires_at_ms),
        "clients": [{"client_id": client_id} for client_id in session.clients], "device": dict(session.device),
        "metadata": dict(session.metadata or {}),
    }  # fmt: skip


def _answers(occasion: Occasion) -> dict[str, Any]:
    """What rules may ask for through `auth0.users`: the metadata of the user who signs in, and of nobody else."""

    def updating(member: str) -> Any:
        async def update(given: Any) -> dict[str, Any]:
            user_id, values = given if isinstance(given, list) and len(given) == 2 else (None, None)
            if user_id != occasion.user.user_id or not isinstance(values, dict):
                raise Forbidden("Code may change the metadata of the user who is signing in.")
            async with occasion.store.transaction() as tx:
                record = await documents.update(tx, occasion.tenant, USERS, user_id, {member: values})
            return {"user_id": user_id, member: record.document.get(member) or {}}

        return update

    return {
        "auth0.users.updateAppMetadata": updating("app_metadata"),
        "auth0.users.updateUserMetadata": updating("user_metadata"),
    }
