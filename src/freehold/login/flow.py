"""A visit: one request to the hosted pages, with the sign-in it belongs to.

The browser holds a reference in `state`, from which `domain.sessions.login_transactions` knows the sign-in. A visit is
refused when the reference is over or belongs to another browser, and a submitted form when it was not made for
this one. Steps read and change the payload; saving is compare-and-set, so a form sent twice advances once.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from freehold.domain.applications import CLIENTS, Client
from freehold.domain.connections import enabled_connections
from freehold.domain.sessions import LoginTransaction, Session, begin_login, find_login, save_login
from freehold.domain.users import Database, Profile, database_of
from freehold.kernel.declare import documents
from freehold.kernel.errors import BadRequest
from freehold.kernel.http.csrf import form_token, verify_form
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.kernel.store import Transaction
from freehold.login import cookies, pages, views
from freehold.login.answers import show
from freehold.login.at_request import AtRequest

SIGN_IN, IDENTIFIER, PASSWORD = "/u/login", "/u/login/identifier", "/u/login/password"
PROVIDER = "/u/login/provider"
SECOND_FACTOR = "/u/mfa-otp-challenge"
SIGN_UP, CONSENT, RESET_REQUEST = "/u/signup", "/u/consent", "/u/reset-password/request"
STRATEGIES = frozenset({"auth0", "oauth2"})
"""The kinds of connections that the pages can sign somebody in from."""
_FIRST_PAGES = {"signup": SIGN_UP, "reset-password": RESET_REQUEST}

OVER = "This sign-in is over or was begun in another browser. Go back to the application and sign in again."


End = Callable[[Transaction, Session], Awaitable[Response]]
"""Ends a sign-in for its protocol, in the transaction that begins the session."""


class SignInOver(BadRequest):
    """There is no such sign-in for this browser."""

    code = "invalid_request"

    def __init__(self) -> None:
        super().__init__(OVER)


@dataclass(slots=True)
class Visit(AtRequest):
    """One request of a sign-in under way."""

    http: Request
    transaction: LoginTransaction
    reference: str
    client: Client
    secret: str
    form: Parameters | None = None

    @property
    def authorize(self) -> dict[str, Any]:
        """The authorization request, as the protocol stored it."""
        request: dict[str, Any] = self.transaction.payload["authorize"]
        return request

    def field(self, name: str) -> str:
        """A field of the submitted form, empty when it is missing."""
        return (self.form.one(name) or "") if self.form is not None else ""

    def url(self, path: str) -> str:
        """The address of a page of this sign-in."""
        return _address(path, self.reference)

    def page_form(self, path: str) -> views.Form:
        """A form that only this browser can submit."""
        return views.Form(action=self.url(path), state=self.reference, csrf_token=form_token(self.secret))

    async def show(self, view: pages.View) -> Response:
        """A page of this sign-in."""
        return await show(
            self.http,
            view,
            client_name=self.client.name,
            redirect_uri=str(self.authorize.get("redirect_uri", "")),
            ui_locales=self.authorize.get("ui_locales"),
        )

    async def save(self, tx: Transaction, **changes: Any) -> None:
        """Store the next state. Raises SignInOver when another request came first."""
        payload = {**self.transaction.payload, **changes}
        if not await save_login(tx, self.tenant, self.transaction, payload):
            raise SignInOver

    async def ending(self, user: Profile, connection: str) -> End | None:
        """How the protocol ends this sign-in at once; None when the browser has to come back to it first."""
        end: End | None = await self.http.services.conclude_sign_in(
            self.http, self.transaction, self.client, user, connection
        )
        return end

    def resume(self) -> Response:
        """Back to the protocol, which finishes the sign-in."""
        return redirect(self.url("/authorize/resume"))

    async def providers(self) -> list[tuple[str, str]]:
        """The tenant's own providers that the client's users sign in with: what each is called, and its address."""
        wanted = self.authorize.get("connection")
        enabled = await enabled_connections(self.store, self.tenant, self.client.client_id)
        return [
            (
                one.display_name if isinstance(one.display_name, str) else one.name,
                f"{self.url(PROVIDER)}&{urlencode({'connection': one.name})}",
            )
            for one in enabled
            if one.strategy == "oauth2" and wanted in {None, one.name}
        ]

    async def databases(self) -> list[Database]:
        """The databases that the client's users sign in with, or the one that the request names."""
        wanted = self.authorize.get("connection")
        enabled = await enabled_connections(self.store, self.tenant, self.client.client_id)
        return [database_of(one) for one in enabled if one.strategy == "auth0" and wanted in {None, one.name}]


async def visit(http: Request) -> Visit:
    """The visit of a request. Raises SignInOver, or CrossSiteRequest for a form that is not this browser's."""
    form = await http.form() if http.method == "POST" else None
    reference = http.query.one("state") or (form.one("state") if form is not None else None)
    transaction = await find_login(http.services.store, http.tenant, reference)
    return await visit_of(http, reference, transaction, form)


async def visit_of(
    http: Request, reference: str | None, transaction: LoginTransaction | None, form: Parameters | None = None
) -> Visit:
    """The visit of a sign-in that was found. Raises what `visit` raises."""
    secret = cookies.visit_secret(http)
    if reference is None or transaction is None or secret is None or not cookies.is_bound_to(http, transaction):
        raise SignInOver
    if form is not None:
        verify_form(http, transaction=secret, token=form.one("csrf_token"))
    client_id = str(transaction.payload["authorize"]["client_id"])
    client = await documents.cached(http.services.store, http.tenant, CLIENTS, client_id)
    if client is None:
        raise SignInOver
    return Visit(http, transaction, reference, client, secret, form)


async def start(
    http: Request, *, request: dict[str, Any], session: Session | None = None, second_factor: bool = False
) -> Response:
    """Begin a sign-in for an authorization request and send the browser to its first page.

    With a session the user is known and only asked for consent, or for a second factor before that.
    """
    path = _FIRST_PAGES.get(str(request.get("screen_hint")), SIGN_IN)
    answer = redirect(path)
    secret = cookies.ensure_visit(http, answer)
    payload: dict[str, Any] = {"authorize": request, "visit": cookies.binding(secret)}
    if session is not None:
        payload["session_id"] = session.id
        path = SECOND_FACTOR if second_factor else CONSENT
    reference = await begin_login(http.services.store, http.tenant, payload)
    target = redirect(_address(path, reference))
    target.headers += [header for header in answer.headers if header[0] == "set-cookie"]
    return target


async def send_elsewhere(
    http: Request, transaction: LoginTransaction | None, *, request: dict[str, Any], session: Session, target: str,
    custom: dict[str, Any],
) -> Response:  # fmt: skip
    """To a page of the tenant's own, which sends the user back to `/continue` with the `state` it was given."""
    reference, headers = await _keep(http, transaction, request=request, session=session, custom=custom)
    separator = "&" if "?" in target else "?"
    answer = redirect(f"{target}{separator}{urlencode({'state': reference})}")
    answer.headers += headers
    return answer


async def ask_more(
    http: Request, transaction: LoginTransaction | None, *, request: dict[str, Any], session: Session,
    custom: dict[str, Any],
) -> Response:  # fmt: skip
    """To the page that asks for a second factor, because code wants one."""
    reference, headers = await _keep(http, transaction, request=request, session=session, custom=custom)
    answer = redirect(_address(SECOND_FACTOR, reference))
    answer.headers += headers
    return answer


async def _keep(
    http: Request, transaction: LoginTransaction | None, *, request: dict[str, Any], session: Session,
    custom: dict[str, Any],
) -> tuple[str, list[tuple[str, str]]]:  # fmt: skip
    """Store what code has decided so far with the sign-in, which begins now where there was none. Raises SignInOver."""
    store, tenant = http.services.store, http.tenant
    if transaction is not None:
        payload = {**transaction.payload, "session_id": session.id, "custom": custom}
        async with store.transaction() as tx:
            if not await save_login(tx, tenant, transaction, payload):
                raise SignInOver
        given = http.query.one("state") or (await http.form()).one("state")
        return given or "", []
    holder = Response()
    secret = cookies.ensure_visit(http, holder)
    payload = {"authorize": request, "visit": cookies.binding(secret), "session_id": session.id, "custom": custom}
    reference = await begin_login(store, tenant, payload)
    return reference, [header for header in holder.headers if header[0] == "set-cookie"]


def begin(http: Request) -> Response:
    """Back to the first page of a sign-in that is not finished."""
    return redirect(_address(SIGN_IN, http.query.one("state") or ""))


def ask_consent(http: Request) -> Response:
    """To the consent page of a sign-in."""
    return redirect(_address(CONSENT, http.query.one("state") or ""))


def ask_second_factor(http: Request) -> Response:
    """To the page that asks for a second factor."""
    return redirect(_address(SECOND_FACTOR, http.query.one("state") or ""))


def _address(path: str, reference: str) -> str:
    return f"{path}?{urlencode({'state': reference})}"
