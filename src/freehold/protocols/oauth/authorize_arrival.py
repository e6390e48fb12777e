"""A request at the authorization endpoint with all that is known of it, and the questions that decide about it.

Whether a session has shown enough, and whether the user has to be asked first: what was true when the user came is
asked again when tokens are made.
"""

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from freehold.domain.access import ResourceServer, consented_scopes
from freehold.domain.applications import Client
from freehold.domain.authenticators import Demand, Unmet, check_possible, demand_for, factors_of, guardian_of
from freehold.domain.sessions import LoginTransaction, Session
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import Profile
from freehold.kernel.declare import documents
from freehold.kernel.http.request import Request
from freehold.kernel.store import Transaction
from freehold.login.at_request import AtRequest
from freehold.protocols.oauth.audiences import OPENID_SCOPES
from freehold.protocols.oauth.authorize_request import Authorize, AuthorizeError
from freehold.protocols.oauth.redirect_uris import is_localhost

OVER = "This sign-in is over. Go back to the application and sign in again."
MULTI_FACTOR_REQUIRED = "Multifactor authentication required"
"""With login_required what auth0-spa-js compares, to go on with a popup."""


@dataclass(slots=True, kw_only=True)
class Arrival(AtRequest):
    """Everything a decision needs: the request, its client, the API asked for, and who is signed in."""

    http: Request
    request: Authorize
    client: Client
    api: ResourceServer | None
    allowed: frozenset[str]
    """The scopes of the API that the client may ask for."""
    session: Session | None
    user: Profile | None
    transaction: LoginTransaction | None = None
    """The sign-in that the user has just come through, when there was one."""

    @property
    def is_silent(self) -> bool:
        """Whether the user must not see a page."""
        return "none" in self.request.prompts


async def second_factor_demand(arrival: Arrival, user: Profile) -> Demand:
    """What the sign-in must have shown for this request."""
    request = arrival.request
    return await demand_for(
        arrival.store, arrival.tenant, user.user_id, acr_values=request.acr_values, audience=request.audience
    )


async def lacks_second_factor(arrival: Arrival) -> bool:
    """Whether the session has not shown enough."""
    session, user = arrival.session, arrival.user
    if session is None or user is None:
        return True
    return not (await second_factor_demand(arrival, user)).is_met(session.methods)


async def check_second_factor_possible(arrival: Arrival) -> None:
    """Check that the user can show a second factor here. Raises AuthorizeError."""
    assert arrival.user is not None  # who is signed in
    store, tenant = arrival.store, arrival.tenant
    try:
        check_possible(await guardian_of(store, tenant), await factors_of(store, tenant, arrival.user.user_id))
    except Unmet as unmet:
        raise AuthorizeError("access_denied", unmet.reason) from None


async def asks_consent(arrival: Arrival) -> bool:
    """Whether the user has yet to be asked."""
    if arrival.transaction is not None and arrival.transaction.payload.get("consented"):
        return False
    if "consent" in arrival.request.prompts:
        return True
    if not await needs_consent(arrival):
        return False
    user = arrival.user
    if user is None:
        return True
    given = await consented_scopes(
        arrival.store,
        arrival.tenant,
        user_id=user.user_id,
        client_id=arrival.client.client_id,
        audience=arrival.request.audience or "",
    )
    return given is None or not given >= set(arrival.request.scopes)


async def needs_consent(arrival: Arrival) -> bool:
    """Whether tokens rest on the user's consent.

    First-party clients need none, except for an API that asks for it, and where the callback is the user's own
    machine, because there any program can pose as the client.
    """
    request, client, api = arrival.request, arrival.client, arrival.api
    if not client.is_first_party:
        return True
    if api is None or not [scope for scope in request.scopes if scope not in OPENID_SCOPES]:
        return False
    if not api.skip_consent_for_verifiable_first_party_clients:
        return True
    if not is_localhost(request.redirect_uri):
        return False
    settings = await documents.cached_singleton(arrival.store, arrival.tenant, SETTINGS)
    trusted = (
        client.skip_non_verifiable_callback_uri_confirmation_prompt,
        settings.skip_non_verifiable_callback_uri_confirmation_prompt,
    )
    return next((choice for choice in trusted if choice is not UNSET and choice is not None), False) is not True


async def record(tx: Transaction, http: Request, client: Client, event: str, **facts: Any) -> None:
    """Enter an event of the client and the browser in the tenant's log."""
    await http.tenant.events.record(
        tx,
        http.tenant,
        event,
        client_id=client.client_id,
        client_name=client.name,
        ip=http.client_ip,
        user_agent=http.headers.get("user-agent"),
        hostname=http.host,
        **facts,
    )
