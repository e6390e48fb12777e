"""Signing in with identifier and password: on one page, or identifier first where the tenant wants it so.

An unknown user, a user without a password and a wrong password look the same and take the same time; a blocked user is
told so only after the right password.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from freehold.domain.authenticators import REMEMBERED
from freehold.domain.extensions.databases import ScriptFailed
from freehold.domain.protection import AddressThrottled, Attempt, TooManyAttempts
from freehold.domain.sessions import Session, create_session, end_session, find_session, reauthenticate
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import (
    Database,
    SignIn,
    Verification,
    attempt_subject,
    check_sign_in,
    find_for_login,
    record_login,
)
from freehold.kernel.declare import documents
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, redirect
from freehold.kernel.store import Transaction
from freehold.login import cookies, flow, second_factor, views
from freehold.login.devices import device_of
from freehold.login.flow import Visit, visit
from freehold.login.session_rules import session_rules

LONGEST_FIELD = 512
Show = Callable[..., Awaitable[Response]]
"""Shows the page again, with what was typed and a problem."""


class OnePage:
    """Identifier and password together."""

    @staticmethod
    async def show_page(http: Request) -> Response:
        """GET /u/login."""
        here = await visit(http)
        if here.authorize.get("connection") is not None:
            for _, url in await here.providers():
                return redirect(url)
        if await identifier_first(here):
            return redirect(here.url(flow.IDENTIFIER))
        return await _one_page(here, _hint(here))

    @staticmethod
    async def submit(http: Request) -> Response:
        """POST /u/login."""
        here = await visit(http)
        identifier, password = _typed(here), here.field("password")
        if not identifier:
            return await _one_page(here, "", views.Problem("no-username", "username"))
        if not password:
            return await _one_page(here, identifier, views.Problem("no-password", "password"))
        return await _check(here, identifier, password, _one_page)


class IdentifierFirst:
    """Who are you?"""

    @staticmethod
    async def show_page(http: Request) -> Response:
        """GET /u/login/identifier."""
        here = await visit(http)
        return await _ask_identifier(here, str(here.transaction.payload.get("identifier") or _hint(here)))

    @staticmethod
    async def submit(http: Request) -> Response:
        """POST /u/login/identifier: the next page is the same for everybody."""
        here = await visit(http)
        identifier = _typed(here)
        if not identifier:
            return await _ask_identifier(here, "", views.Problem("no-username", "username"))
        async with here.store.transaction() as tx:
            await here.save(tx, identifier=identifier)
        return redirect(here.url(flow.PASSWORD))


class PasswordSecond:
    """The password of the one who was named before."""

    @staticmethod
    async def show_page(http: Request) -> Response:
        """GET /u/login/password."""
        here = await visit(http)
        identifier = here.transaction.payload.get("identifier")
        return await _ask_password(here, identifier) if identifier else redirect(here.url(flow.IDENTIFIER))

    @staticmethod
    async def submit(http: Request) -> Response:
        """POST /u/login/password."""
        here = await visit(http)
        identifier, password = here.transaction.payload.get("identifier"), here.field("password")
        if not identifier:
            return redirect(here.url(flow.IDENTIFIER))
        if not password:
            return await _ask_password(here, identifier, views.Problem("no-password", "password"))
        return await _check(here, identifier, password, _ask_password)


async def identifier_first(here: Visit) -> bool:
    """Whether the tenant asks who somebody is before anything else."""
    settings = await documents.cached_singleton(here.store, here.tenant, SETTINGS)
    chosen = settings.universal_login or {}
    return chosen.get("identifier_first") is True


async def _check(here: Visit, identifier: str, password: str, show_again: Show) -> Response:
    """Look at the password and go on, or show the page again."""
    databases = await here.databases()
    database, found = await _find(here, databases, identifier)
    guard = here.http.services.login_guard.attempt(
        here.store,
        here.tenant,
        connection=database.name if database else "",
        subject=attempt_subject(found, identifier),
        ip=here.http.client_ip,
        enabled=database is None or database.is_guarded,
    )
    try:
        async with guard as attempt:
            checked = await check_sign_in(here.http.services, here.tenant, database, found, identifier, password)
            found, verification = checked.found, checked.verification
            if found is None or database is None or not verification.ok:
                await _refuse(here, identifier, database, found, attempt)
                return await show_again(here, identifier, views.Problem(_wrong(databases)))
            if found.user.blocked:
                return await _blocked(here, database, found, attempt)
            return await finish(here, database, found, verification, attempt)
    except ScriptFailed as error:
        async with here.store.transaction() as tx:
            await event(tx, here, "f", database=database, identifier=identifier, description=error.message)
        text = error.message if error.code == "unauthorized" else ""
        return await show_again(here, identifier, views.Problem("custom-script-error-code", text=text))
    except TooManyAttempts as error:
        blocked = "ip-blocked" if isinstance(error, AddressThrottled) else "user-blocked"
        response = await show_again(here, identifier, views.Problem(blocked))
        response.status = error.status
        response.headers.append(("retry-after", str(error.retry_after_s)))
        return response


async def finish(
    here: Visit, database: Database, found: SignIn, verification: Verification | None = None, attempt: Any = None
) -> Response:
    """The user is who they say: go on, to the second factor where one is asked for."""
    demand = await second_factor.demand_of(here, found.user.user_id)
    if not demand.needed:
        return await complete(here, database, found, verification, attempt)
    if not demand.fresh and await second_factor.remembers(here, found.user.user_id):
        return await complete(here, database, found, verification, attempt, methods=("pwd", REMEMBERED))
    return await second_factor.begin(here, database, found, verification, attempt)


async def complete(
    here: Visit,
    database: Database,
    found: SignIn,
    verification: Verification | None = None,
    attempt: Any = None,
    *,
    methods: Sequence[str] = ("pwd",),
) -> Response:
    """The user has shown all that is asked for: begin a session under a new cookie and go on.

    Where the protocol has nothing more to ask, its answer is made in the same transaction, and the browser is spared a
    way back.
    """
    known = await find_session(here.store, here.tenant, cookies.session_cookie(here.http))
    lifetimes, persistent = await session_rules(here.store, here.tenant)
    terms: dict[str, Any] = {
        "connection": database.name,
        "client_id": here.client.client_id,
        "device": device_of(here.http),
        "lifetimes": lifetimes[persistent],
        "persistent": persistent,
        "methods": methods,
    }
    end = await here.ending(found.user, database.name)
    answer = None
    async with here.store.transaction() as tx:
        begun = None
        if known is not None and known.user_id == found.user.user_id:
            begun = await reauthenticate(tx, here.tenant, known, **terms)
        elif known is not None:
            await end_session(tx, here.tenant, known.id)
        session, value = begun or await create_session(tx, here.tenant, user_id=found.user.user_id, **terms)
        if attempt is not None:
            await attempt.succeeded(tx)
        await record_login(tx, here.tenant, found, ip=here.http.client_ip, verification=verification)
        if end is None:
            await here.save(tx, session_id=session.id, signed_in=True, second=None, kept=None)
        else:
            answer = await end(tx, session)
        await event(tx, here, "s", database=database, found=found, session=session)
    response = answer or here.resume()
    cookies.set_session(response, session, value, now_ms=here.tenant.clock.now_ms())
    return response


async def event(
    tx: Transaction,
    here: Visit,
    type: str,  # noqa: A002
    *,
    database: Database | None = None,
    found: SignIn | None = None,
    identifier: str | None = None,
    description: str | None = None,
    session: Session | None = None,
) -> None:
    """What happened in this sign-in, in the tenant's log."""
    await here.tenant.events.record(
        tx,
        here.tenant,
        type,
        description=description,
        connection=database.name if database else None,
        connection_id=database.id if database else None,
        strategy=database.strategy if database else None,
        strategy_type=("database" if database.has_passwords else "social") if database else None,
        client_id=here.client.client_id,
        client_name=here.client.name,
        ip=here.http.client_ip,
        user_agent=here.http.headers.get("user-agent"),
        hostname=here.http.host,
        user_id=found.user.user_id if found else None,
        user_name=name_of(found) if found else identifier,
        scope=here.authorize.get("scope"),
        audience=here.authorize.get("audience"),
        details={"session_id": session.id} if session else None,
    )


def identifiers_of(databases: list[Database]) -> tuple[views.Identifier, ...]:
    """What users of these databases may type."""
    found: list[views.Identifier] = []
    for database in databases:
        found += ["email"] if database.takes_email else []
        found += ["username"] if database.takes_username else []
        found += ["phone"] if database.takes_phone_number else []
    return tuple(dict.fromkeys(found)) or ("email",)


def name_of(found: SignIn) -> str:
    """What the log calls the user."""
    return found.user.email or found.user.username or found.user.user_id


async def _find(here: Visit, databases: list[Database], identifier: str) -> tuple[Database | None, SignIn | None]:
    for database in databases:
        found = await find_for_login(here.store, here.tenant, database, identifier)
        if found is not None:
            return database, found
    # Whoever is not known here may be known to a database of the tenant's own.
    asked = next((database for database in databases if database.is_custom), None)
    return asked or (databases[0] if databases else None), None


async def _refuse(
    here: Visit, identifier: str, database: Database | None, found: SignIn | None, attempt: Attempt
) -> None:
    async with here.store.transaction() as tx:
        await event(
            tx, here, "fp" if found else "fu", database=database, found=found, identifier=identifier,
            description="Wrong email or password.",
        )  # fmt: skip
        if await attempt.failed(tx):
            await event(
                tx, here, "limit_wc", database=database, found=found, identifier=identifier,
                description="Blocked account: too many failed sign-ins",
            )  # fmt: skip
            if found is not None and database is not None and attempt.tells:
                await here.http.services.mail.send_blocked_account(
                    tx, here.tenant, found.user.user_id, connection=database.name, subject=attempt.subject,
                    ip=here.http.client_ip,
                )  # fmt: skip
        if attempt.throttles:
            await event(
                tx, here, "limit_mu", database=database, description="Too many failed sign-ins from one address"
            )


async def _blocked(here: Visit, database: Database, found: SignIn, attempt: Attempt) -> Response:
    async with here.store.transaction() as tx:
        await attempt.succeeded(tx)
        await event(tx, here, "f", database=database, found=found, description="user is blocked")
        await here.save(tx, error={"code": "unauthorized", "description": "user is blocked"}, error_recorded=True)
    return here.resume()


async def show_first_page(here: Visit, problem: views.Problem) -> Response:
    """The page on which a sign-in begins, with what went wrong."""
    return await _one_page(here, _hint(here), problem)


async def _one_page(here: Visit, value: str, problem: views.Problem | None = None) -> Response:
    databases = await here.databases()
    view = views.Login(
        form=here.page_form(flow.SIGN_IN),
        identifiers=identifiers_of(databases),
        value=value,
        problems=(problem,) if problem else (),
        signup_url=_sign_up_url(here, databases),
        reset_url=_reset_url(here, databases),
        providers=tuple(await here.providers()),
    )
    return await here.show(view)


async def _ask_identifier(here: Visit, value: str, problem: views.Problem | None = None) -> Response:
    databases = await here.databases()
    view = views.LoginId(
        form=here.page_form(flow.IDENTIFIER),
        identifiers=identifiers_of(databases),
        value=value,
        problems=(problem,) if problem else (),
        signup_url=_sign_up_url(here, databases),
        providers=tuple(await here.providers()),
    )
    return await here.show(view)


async def _ask_password(here: Visit, value: str, problem: views.Problem | None = None) -> Response:
    databases = await here.databases()
    view = views.LoginPassword(
        form=here.page_form(flow.PASSWORD),
        value=value,
        edit_url=here.url(flow.IDENTIFIER),
        problems=(problem,) if problem else (),
        reset_url=_reset_url(here, databases),
    )
    return await here.show(view)


def _sign_up_url(here: Visit, databases: list[Database]) -> str:
    return here.url(flow.SIGN_UP) if any(database.allows_sign_up for database in databases) else ""


def _reset_url(here: Visit, databases: list[Database]) -> str:
    return here.url(flow.RESET_REQUEST) if any(database.offers_reset for database in databases) else ""


def _wrong(databases: list[Database]) -> str:
    """The text that names what may be wrong, by what users may type here."""
    return f"wrong-{'-'.join(sorted(identifiers_of(databases)))}-credentials"


def _typed(here: Visit) -> str:
    return here.field("username").strip()[:LONGEST_FIELD]


def _hint(here: Visit) -> str:
    return str(here.authorize.get("login_hint") or "")
