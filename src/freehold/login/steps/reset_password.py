"""Forgotten password: ask for a mail, and set a new password with the ticket in it.

The first page answers the same for every address. Setting the password needs the ticket and a form that this browser
was given; the ticket holds for the address it was mailed to and for no other, that address is verified by it, and
everything the old password opened is closed.
"""

from typing import Any
from urllib.parse import urlencode

from msgspec.structs import asdict

from freehold.domain.extensions.databases import ExternalUser, ScriptFailed
from freehold.domain.tickets import State, find_ticket, use_ticket
from freehold.domain.tickets import Ticket as Proof
from freehold.domain.users import (
    USERS,
    Database,
    PasswordRefused,
    Profile,
    adopt,
    change_password_elsewhere,
    find_database,
    find_elsewhere,
    find_profile,
    prepare_password,
    set_password,
)
from freehold.domain.users.documents import DATABASE
from freehold.domain.users.profiles import SignInIdentity
from freehold.kernel.crypto.passwords import PasswordNotUsable, PasswordTooLong
from freehold.kernel.declare import documents
from freehold.kernel.errors import Forbidden
from freehold.kernel.http.csrf import form_token, verify_form
from freehold.kernel.http.request import Request as HttpRequest
from freehold.kernel.http.response import Response
from freehold.login import cookies, custom_code, flow, views
from freehold.login.answers import show
from freehold.login.flow import Visit, visit
from freehold.login.password_hints import hints_for
from freehold.login.steps.sign_in import LONGEST_FIELD, identifiers_of

TICKET_PATH = "/u/reset-password"
_REFUSALS = {
    "PasswordDictionaryError": "password-too-common",
    "PasswordNoUserInfoError": "password-contains-user-information",
    "PasswordHistoryError": "password-previously-used",
}


class Request:
    """Asking for the mail."""

    @staticmethod
    async def show_page(http: HttpRequest) -> Response:
        """GET /u/reset-password/request."""
        here = await visit(http)
        known = here.transaction.payload.get("identifier") or here.authorize.get("login_hint") or ""
        return await here.show(await _request_view(here, str(known)))

    @staticmethod
    async def submit(http: HttpRequest) -> Response:
        """POST /u/reset-password/request."""
        here = await visit(http)
        identifier = (here.field("email") or here.field("username")).strip()[:LONGEST_FIELD]
        databases = [database for database in await here.databases() if database.offers_reset]
        if not databases:
            raise Forbidden("No password can be set for this application.", code="unauthorized")
        if not identifier:
            field = "email" if identifiers_of(databases) == ("email",) else "username"
            return await here.show(await _request_view(here, "", views.Problem(f"no-{field}", field)))
        async with here.store.transaction() as tx:
            for database in databases:
                await http.services.mail.request_password_reset(
                    tx, here.tenant, connection=database.name, identifier=identifier, client_id=here.client.client_id,
                    ip=http.client_ip,
                )  # fmt: skip
        view = views.ResetPasswordEmail(
            form=here.page_form(flow.RESET_REQUEST),
            email=identifier,
            by_username="@" not in identifier,
            login_url=here.url(flow.SIGN_IN),
        )
        return await here.show(view)


class Ticket:
    """Setting the password. No sign-in need be under way: the link in the mail may be opened anywhere."""

    @staticmethod
    async def show_page(http: HttpRequest) -> Response:
        """GET /u/reset-password."""
        value = http.query.one("ticket") or ""
        state, proof, user, database = await _read(http, value)
        if state != "open" or proof is None or user is None or database is None:
            return await _refused(http, state)
        holder = Response()
        secret = cookies.ensure_visit(http, holder)
        response = await show(http, _ticket_view(proof, database, value, secret))
        response.headers += holder.headers
        return response

    @staticmethod
    async def submit(http: HttpRequest) -> Response:
        """POST /u/reset-password."""
        form = await http.form()
        value = http.query.one("ticket") or ""
        secret = cookies.visit_secret(http) or ""
        verify_form(http, transaction=secret, token=form.one("csrf_token"))
        state, proof, user, database = await _read(http, value)
        if state != "open" or proof is None or user is None or database is None:
            return await _refused(http, state)
        password, again = form.get("password-reset"), form.get("re-enter-password")
        problem, result = None, proof.payload.get("result_url")
        if not password:
            problem = views.Problem("no-password-reset", "password-reset")
        elif password != again:
            problem = views.Problem("password-mismatch", "re-enter-password")
        else:
            asked = await custom_code.before_reset(http, user, database, client_id=proof.payload.get("client_id"))
            if asked.denied is not None:
                await _record_failure(http, proof, user, database, asked.denied)
                problem = views.Problem("custom-script-error-code", text=asked.denied)
            else:
                problem = await _set(http, proof, user, database, value, password)
                result = asked.result_url or result
        if problem is None:
            return await show(http, views.ResetPasswordSuccess(continue_url=str(result) if result else ""))
        if problem == _USED:
            return await _refused(http, "used")
        return await show(http, _ticket_view(proof, database, value, secret, problem))


_USED = views.Problem("auth0-users-used-ticket")


async def _set(
    http: HttpRequest, proof: Proof, user: Profile, database: Database, value: str, password: str
) -> views.Problem | None:
    """Use the ticket and set the password; the problem, if there is one."""
    store, tenant, identity = http.services.store, http.tenant, str(proof.payload["identity"])
    newcomer, at_ms = None, None
    try:
        prepared = await prepare_password(
            store, tenant, http.services.passwords, database, password=password,
            profile={"email": user.email or "", "username": user.username or "", "name": user.name or ""},
            identity=identity,
        )  # fmt: skip
        if database.is_custom:
            newcomer, at_ms = await _ask_elsewhere(http, proof, user, database, password)
    except ScriptFailed as error:
        await _record_failure(http, proof, user, database, error.message)
        return views.Problem("custom-script-error-code", text=error.message)
    except PasswordRefused as refusal:
        return views.Problem(_REFUSALS.get(refusal.name, "password-policy-not-conformant"), "password-reset")
    except (PasswordTooLong, PasswordNotUsable) as error:
        return views.Problem("password-policy-not-conformant", "password-reset", error.message)
    async with store.transaction() as tx:
        if not await use_ticket(tx, tenant, value, "password_change"):
            return _USED
        known = await documents.read(tx, tenant, USERS, user.user_id) is not None
        if newcomer is not None and not known:
            await adopt(tx, tenant, database, newcomer, password=prepared)
            known = True
        if known:
            await set_password(
                tx, tenant, user_id=user.user_id, identity=identity, password=prepared, at_ms=at_ms
            )  # fmt: skip
        verified = proof.payload.get("mark_email_as_verified") and not user.email_verified
        if known and verified and database.keeps_passwords:
            await documents.update(tx, tenant, USERS, user.user_id, {"email_verified": True})
        await tenant.events.record(
            tx, tenant, "scp", user_id=user.user_id, user_name=user.email or user.username, connection=database.name,
            connection_id=database.id, strategy="auth0", strategy_type="database", ip=http.client_ip,
            client_id=proof.payload.get("client_id"), user_agent=http.headers.get("user-agent"), hostname=http.host,
        )  # fmt: skip
        await http.services.mail.send_password_changed(tx, tenant, user.user_id)
        await custom_code.tell(tx, http, "post-change-password", asdict(user), database)
    return None


async def _ask_elsewhere(
    http: HttpRequest, proof: Proof, user: Profile, database: Database, password: str
) -> tuple[ExternalUser | None, int | None]:
    """What a database of the tenant's own has to do with it: who comes from there now, or when it set the password.

    Raises ScriptFailed.
    """
    services, tenant = http.services, http.tenant
    asked = (proof.payload.get("elsewhere") or {}).get("identifier") or user.email or user.username or ""
    if not database.keeps_passwords:
        return None, await change_password_elsewhere(services, tenant, database, asked, password)
    if await documents.read(services.store, tenant, USERS, user.user_id) is not None:
        return None, None
    newcomer = await find_elsewhere(services, tenant, database, asked)
    if newcomer is None or f"{database.provider}|{newcomer.id}" != user.user_id:
        raise ScriptFailed("The user does not exist.")
    return newcomer, None


async def _record_failure(http: HttpRequest, proof: Proof, user: Profile, database: Database, reason: str) -> None:
    async with http.services.store.transaction() as tx:
        await http.tenant.events.record(
            tx, http.tenant, "fcp", user_id=user.user_id, user_name=user.email or user.username, description=reason,
            connection=database.name, connection_id=database.id, strategy="auth0", strategy_type="database",
            client_id=proof.payload.get("client_id"), ip=http.client_ip, hostname=http.host,
            user_agent=http.headers.get("user-agent"),
        )  # fmt: skip


async def _read(http: HttpRequest, value: str) -> tuple[State, Proof | None, Profile | None, Database | None]:
    """The ticket, its user and their database. It is over once the user has another address, or is blocked."""
    store, tenant = http.services.store, http.tenant
    state, proof = await find_ticket(store, tenant, value, "password_change")
    if state != "open" or proof is None:
        return state, proof, None, None
    user = await find_profile(store, tenant, proof.user_id) or _outside(proof)
    mailed_to: Any = proof.payload.get("email")
    if user is None or user.blocked or (mailed_to is not None and mailed_to != user.email):
        return "unknown", proof, None, None
    for identity in user.identities:
        if identity.id == proof.payload.get("identity"):
            return state, proof, user, await find_database(store, tenant, identity.connection)
    return "unknown", proof, user, None


def _outside(proof: Proof) -> Profile | None:
    """Somebody whom only a database of the tenant's own knows, as far as the ticket tells."""
    elsewhere = proof.payload.get("elsewhere")
    if not elsewhere:
        return None
    own_id = proof.user_id.partition("|")[2]
    identity = SignInIdentity(connection=elsewhere["connection"], provider=DATABASE, user_id=own_id)
    return Profile(
        user_id=proof.user_id, email=proof.payload.get("email"), identities=[identity], created_at="", updated_at=""
    )  # fmt: skip


async def _request_view(here: Visit, value: str, *problems: views.Problem) -> views.ResetPasswordRequest:
    return views.ResetPasswordRequest(
        form=here.page_form(flow.RESET_REQUEST),
        identifiers=identifiers_of(await here.databases()),
        value=value,
        problems=problems,
        login_url=here.url(flow.SIGN_IN),
    )


def _ticket_view(
    proof: Proof, database: Database, value: str, secret: str, *problems: views.Problem
) -> views.ResetPassword:
    action = f"{TICKET_PATH}?{urlencode({'ticket': value})}"
    return views.ResetPassword(
        form=views.Form(action=action, state="", csrf_token=form_token(secret)),
        email=str(proof.payload.get("email") or ""),
        password=hints_for(database),
        problems=problems,
    )


async def _refused(http: HttpRequest, state: State) -> Response:
    if state in {"used", "expired"}:
        return await show(http, views.ResetPasswordError(reason="used" if state == "used" else "expired"))
    return await show(http, views.ResetPasswordError(reason="generic"))
