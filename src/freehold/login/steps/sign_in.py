"""Identifier and password on one page.

An unknown user, a user without a password and a wrong password look the same and take the same time; a blocked user is
told so only after the right password.
"""

from datetime import timedelta
from typing import Any

from freehold.domain.sessions import Lifetimes, Session, create_session, end_session, find_session
from freehold.domain.tenants.settings import SETTINGS
from freehold.domain.users import Database, SignIn, Verification, find_for_login, record_login, verify_password
from freehold.kernel.declare import documents
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.store import Transaction
from freehold.login import cookies, views
from freehold.login.flow import Visit, visit

WRONG = views.Problem("wrong-credentials")
LONGEST_FIELD = 512


async def show_page(http: Request) -> Response:
    """GET /u/login."""
    here = await visit(http)
    return await here.show(await _view(here, str(here.authorize.get("login_hint") or "")))


async def submit(http: Request) -> Response:
    """POST /u/login."""
    here = await visit(http)
    identifier, password = here.field("username").strip()[:LONGEST_FIELD], here.field("password")
    if not identifier or not password:
        problem = views.Problem(
            "no-username" if not identifier else "no-password", "username" if not identifier else "password"
        )
        return await here.show(await _view(here, identifier, problem))
    database, found = await _find(here, identifier)
    verification = await verify_password(here.store, here.tenant, http.services.passwords, found, password)
    if found is None or database is None or not verification.ok:
        await _refuse(here, identifier, database, found)
        return await here.show(await _view(here, identifier, WRONG))
    if found.user.blocked:
        return await _blocked(here, database, found)
    return await finish(here, database, found, verification)


async def finish(here: Visit, database: Database, found: SignIn, verification: Verification | None) -> Response:
    """The user is who they say: begin a session under a new cookie and go on."""
    lifetimes, persistent = await _lifetimes(here)
    old = await find_session(here.store, here.tenant, cookies.session_cookie(here.http))
    async with here.store.transaction() as tx:
        if old is not None:
            await end_session(tx, here.tenant, old.id)
        session, value = await create_session(
            tx, here.tenant, user_id=found.user.user_id, connection=database.name, client_id=here.client.client_id,
            device=here.device, lifetimes=lifetimes, persistent=persistent,
        )  # fmt: skip
        await record_login(tx, here.tenant, found, ip=here.http.client_ip, verification=verification)
        await here.save(tx, session_id=session.id)
        await event(
            tx, here, "s", database=database, user_id=found.user.user_id, user_name=_name(found), session=session
        )
    response = here.resume()
    cookies.set_session(response, session, value, now_ms=here.tenant.clock.now_ms())
    return response


async def event(
    tx: Transaction,
    here: Visit,
    type: str,  # noqa: A002
    *,
    database: Database | None = None,
    user_id: str | None = None,
    user_name: str | None = None,
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
        strategy="auth0" if database else None,
        strategy_type="database" if database else None,
        client_id=here.client.client_id,
        client_name=here.client.name,
        ip=here.http.client_ip,
        user_agent=here.http.headers.get("user-agent"),
        hostname=here.http.host,
        user_id=user_id,
        user_name=user_name,
        scope=here.authorize.get("scope"),
        audience=here.authorize.get("audience"),
        details={"session_id": session.id} if session else None,
    )


async def _find(here: Visit, identifier: str) -> tuple[Database | None, SignIn | None]:
    first: Database | None = None
    for database in await here.databases():
        first = first or database
        found = await find_for_login(here.store, here.tenant, database, identifier)
        if found is not None:
            return database, found
    return first, None


async def _refuse(here: Visit, identifier: str, database: Database | None, found: SignIn | None) -> None:
    async with here.store.transaction() as tx:
        await event(
            tx, here, "fp" if found else "fu", database=database, user_id=found.user.user_id if found else None,
            user_name=identifier, description="Wrong email or password.",
        )  # fmt: skip


async def _blocked(here: Visit, database: Database, found: SignIn) -> Response:
    async with here.store.transaction() as tx:
        await event(
            tx, here, "f", database=database, user_id=found.user.user_id, user_name=_name(found),
            description="user is blocked",
        )  # fmt: skip
        await here.save(tx, error={"code": "unauthorized", "description": "user is blocked"})
    return here.resume()


async def _view(here: Visit, value: str, problem: views.Problem | None = None) -> views.Login:
    databases = await here.databases()
    return views.Login(
        form=here.page_form("/u/login"),
        identifiers=identifiers_of(databases),
        value=value,
        problems=(problem,) if problem else (),
        signup_url=here.url("/u/signup") if any(allows_sign_up(database) for database in databases) else "",
        reset_url=here.url("/u/reset-password/request") if databases else "",
    )


def identifiers_of(databases: list[Database]) -> tuple[views.Identifier, ...]:
    """What users of these databases may type."""
    found: list[views.Identifier] = []
    for database in databases:
        found += ["email"] if database.takes_email else []
        found += ["username"] if database.takes_username else []
        found += ["phone"] if database.takes_phone_number else []
    return tuple(dict.fromkeys(found)) or ("email",)


def allows_sign_up(database: Database) -> bool:
    """Whether strangers may make an account."""
    return database.options.get("disable_signup") is not True


def _name(found: SignIn) -> str:
    return found.user.email or found.user.username or found.user.user_id


async def _lifetimes(here: Visit) -> tuple[Lifetimes, bool]:
    settings: Any = await documents.cached_singleton(here.store, here.tenant, SETTINGS)
    idle, absolute = settings.idle_session_lifetime, settings.session_lifetime
    mode = getattr(settings.session_cookie, "mode", "persistent")
    lifetimes = Lifetimes(
        idle=timedelta(hours=idle if isinstance(idle, int | float) else 72),
        absolute=timedelta(hours=absolute if isinstance(absolute, int | float) else 168),
    )
    return lifetimes, mode != "non-persistent"
