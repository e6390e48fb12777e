"""Forgotten password: ask for a mail, and set a new password with the ticket in it.

The first page answers the same for every address. Setting the password needs the ticket and a form that this browser
was given; the address behind the ticket is verified by it, and everything the old password opened is closed.
"""

from urllib.parse import urlencode

from freehold.domain.tickets import State, find_ticket, use_ticket
from freehold.domain.tickets import Ticket as Proof
from freehold.domain.users import Database, PasswordRefused, find_database, find_profile, prepare_password, set_password
from freehold.kernel.errors import Forbidden
from freehold.kernel.http.csrf import form_token, verify_form
from freehold.kernel.http.request import Request as HttpRequest
from freehold.kernel.http.response import Response
from freehold.login import cookies, views
from freehold.login.answers import show
from freehold.login.flow import Visit, visit
from freehold.login.steps.sign_in import LONGEST_FIELD, identifiers_of

REQUEST_PATH, TICKET_PATH = "/u/reset-password/request", "/u/reset-password"
_REASONS: dict[State, str] = {"used": "used", "expired": "expired", "unknown": "generic"}


class Request:
    """Asking for the mail."""

    @staticmethod
    async def show_page(http: HttpRequest) -> Response:
        """GET /u/reset-password/request."""
        here = await visit(http)
        return await here.show(await _request_view(here, ""))

    @staticmethod
    async def submit(http: HttpRequest) -> Response:
        """POST /u/reset-password/request."""
        here = await visit(http)
        identifier = (here.field("email") or here.field("username")).strip()[:LONGEST_FIELD]
        databases = await here.databases()
        if not databases:
            raise Forbidden("No password can be set for this application.", code="unauthorized")
        if not identifier:
            return await here.show(await _request_view(here, "", views.Problem("no-email", "email")))
        async with here.store.transaction() as tx:
            for database in databases:
                await http.services.mail.request_password_reset(
                    tx, here.tenant, connection=database.name, identifier=identifier, client_id=here.client.client_id,
                    ip=http.client_ip,
                )  # fmt: skip
        view = views.ResetPasswordEmail(
            form=here.page_form(REQUEST_PATH),
            email=identifier,
            by_username="@" not in identifier,
            login_url=here.url("/u/login"),
        )
        return await here.show(view)


class Ticket:
    """Setting the password. No sign-in need be under way: the link in the mail may be opened anywhere."""

    @staticmethod
    async def show_page(http: HttpRequest) -> Response:
        """GET /u/reset-password."""
        value = http.query.one("ticket") or ""
        state, proof = await find_ticket(http.services.store, http.tenant, value, "password_change")
        if state != "open" or proof is None:
            return await _refused(http, state)
        holder = Response()
        secret = cookies.ensure_visit(http, holder)
        response = await show(http, await _ticket_view(http, proof, value, secret))
        response.headers += [header for header in holder.headers if header[0] == "set-cookie"]
        return response

    @staticmethod
    async def submit(http: HttpRequest) -> Response:
        """POST /u/reset-password."""
        form = await http.form()
        value = http.query.one("ticket") or ""
        secret = cookies.visit_secret(http)
        verify_form(http, transaction=secret, token=form.one("csrf_token"))
        store, tenant = http.services.store, http.tenant
        state, proof = await find_ticket(store, tenant, value, "password_change")
        if state != "open" or proof is None:
            return await _refused(http, state)
        password, again = form.one("password-reset") or "", form.one("re-enter-password") or ""
        if not password or password != again:
            problem = views.Problem("no-password" if not password else "password-mismatch", "password-reset")
            return await show(http, await _ticket_view(http, proof, value, str(secret), problem))
        database = await _database(http, proof)
        user = await find_profile(store, tenant, proof.user_id)
        if database is None or user is None:
            return await _refused(http, "unknown")
        identity = str(proof.payload["identity"])
        try:
            prepared = await prepare_password(
                store, tenant, http.services.passwords, database, password=password,
                profile={"email": user.email or "", "username": user.username or "", "name": user.name or ""},
                identity=identity,
            )  # fmt: skip
        except PasswordRefused as refusal:
            problem = views.Problem("password-policy-not-conformant", "password-reset", refusal.text)
            return await show(http, await _ticket_view(http, proof, value, str(secret), problem))
        async with store.transaction() as tx:
            if not await use_ticket(tx, tenant, value, "password_change"):
                return await _refused(http, "used")
            await set_password(tx, tenant, user_id=proof.user_id, identity=identity, password=prepared)
            await tenant.events.record(
                tx, tenant, "scp", user_id=proof.user_id, user_name=user.email, connection=database.name,
                ip=http.client_ip, client_id=proof.payload.get("client_id"), user_agent=http.headers.get("user-agent"),
            )  # fmt: skip
            await http.services.mail.send_password_changed(tx, tenant, proof.user_id)
        result = proof.payload.get("result_url")
        return await show(http, views.ResetPasswordSuccess(continue_url=str(result) if result else ""))


async def _request_view(here: Visit, value: str, *problems: views.Problem) -> views.ResetPasswordRequest:
    return views.ResetPasswordRequest(
        form=here.page_form(REQUEST_PATH),
        identifiers=identifiers_of(await here.databases()),
        value=value,
        problems=problems,
        login_url=here.url("/u/login"),
    )


async def _ticket_view(
    http: HttpRequest, proof: Proof, value: str, secret: str, *problems: views.Problem
) -> views.ResetPassword:
    database = await _database(http, proof)
    policy = str(database.options.get("passwordPolicy") or "good") if database else "good"
    return views.ResetPassword(
        form=views.Form(
            action=f"{TICKET_PATH}?{urlencode({'ticket': value})}", state="", csrf_token=form_token(secret)
        ),
        email=str(proof.payload.get("email") or ""),
        password=views.PASSWORD_HINTS.get(policy, views.PASSWORD_HINTS["good"]),
        problems=problems,
    )


async def _database(http: HttpRequest, proof: Proof) -> Database | None:
    """The database of the identity that the ticket is for."""
    user = await find_profile(http.services.store, http.tenant, proof.user_id)
    for identity in user.identities if user else ():
        if identity.id == proof.payload.get("identity"):
            return await find_database(http.services.store, http.tenant, identity.connection)
    return None


async def _refused(http: HttpRequest, state: State) -> Response:
    reason = _REASONS.get(state, "generic")
    return await show(http, views.ResetPasswordError(reason=reason))  # type: ignore[arg-type]
