"""Attempts that end before any step begins, in the audit log: by somebody who is not signed in or has not the role, by
a form from elsewhere, with a link that is somebody else's, at something that is not there.

What a step refuses, the step records by itself. Whoever is not signed in can try as often as they like, so of theirs
the first ones of a minute get an entry each, and the next entry says how many had none.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from freehold.domain import audit, ceremonies
from freehold.domain.administrators import (
    FreshAuthenticationNeeded,
    SecondFactorNeeded,
    SignInNeeded,
    find_administrator,
    session_of,
)
from freehold.domain.audit import AuditActor
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import FreeholdError, Unavailable
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.store import Store

Handler = Callable[[Request], Awaitable[Response]]
STRANGERS_PER_MINUTE = 30
LONGEST_STEP = 40
_TOLD = frozenset({401, 403, 404, 410})
_CODES = frozenset({"no_prefetch"})
_LEADS_ON = (SignInNeeded, FreshAuthenticationNeeded, SecondFactorNeeded)


@dataclass(slots=True)
class _Minute:
    """How many strangers' attempts a minute has seen, and how many of them no entry tells of."""

    ends_ms: int = 0
    seen: int = 0
    untold: int = 0

    def take(self, now_ms: int) -> bool:
        """Whether there is an entry for one more."""
        if now_ms >= self.ends_ms:
            self.ends_ms, self.seen = now_ms + 60_000, 0
        self.seen += 1
        if self.seen <= STRANGERS_PER_MINUTE:
            return True
        self.untold += 1
        return False


_minutes: WeakKeyDictionary[Store, dict[str, _Minute]] = WeakKeyDictionary()


def watched(handler: Handler, *, leads_on: bool = False) -> Handler:
    """The handler, with its refusals in the audit log. A page `leads_on` whoever has to sign in first."""
    name = getattr(handler, "__name__", "")

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except FreeholdError as error:
            if not (leads_on and isinstance(error, _LEADS_ON)):
                await note_refused(request, request.params.get("step", name)[:LONGEST_STEP], error)
            raise

    return answer


async def note_refused(request: Request, step: str, error: FreeholdError) -> None:
    """Record an attempt, unless it is recorded already or nobody was kept from anything."""
    if error.is_recorded or (error.status not in _TOLD and error.code not in _CODES):
        return
    store: Store = request.services.store
    tenant: TenantScope = request.tenant
    actor = await _who(request, store, tenant)
    details: dict[str, str | int] = {"step": step, "code": error.code}
    if actor.kind != "administrator":
        minute = _minutes.setdefault(store, {}).setdefault(tenant.id, _Minute())
        if not minute.take(tenant.clock.now_ms()):
            return
        if minute.untold:
            details["untold_before"], minute.untold = minute.untold, 0
    named = request.params.get("id", "")
    about = await ceremonies.find_ceremony(store, tenant, named) if named.isprintable() else None
    try:
        async with store.transaction() as tx:
            await audit.record(
                tx, tenant, action="ceremony.refused", actor=actor, ceremony_id=about.id if about else "",
                digest=about.digest if about else "", details=details,
            )  # fmt: skip
    except Unavailable:
        return  # it is refused all the same
    error.is_recorded = True


async def _who(request: Request, store: Store, tenant: TenantScope) -> AuditActor:
    session, ip = await session_of(request), request.client_ip
    person = None if session is None else await find_administrator(store, tenant, session.administrator_id)
    if session is not None and person is not None:
        return AuditActor("administrator", person.id, person.email, session.id, session.mfa_at_ms, ip)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.count(".") == 2:
        try:
            claims = await request.services.verify_management_token(tenant, token.strip())
        except FreeholdError:
            return AuditActor("anonymous", ip=ip)
        return AuditActor("machine", str(claims.get("azp") or claims.get("sub") or "")[:64], ip=ip)
    return AuditActor("anonymous", ip=ip)
