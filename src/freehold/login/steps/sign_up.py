"""A new account, and being signed in with it at once.

That an address is taken is told here, because whoever owns it would otherwise wait for ever; who must not tell may
switch sign-up off. The mail to verify the address is sent behind the answer.
"""

from typing import Any

from freehold.domain.users import (
    Database,
    PasswordRefused,
    SignIn,
    find_for_login,
    prepare_password,
    sign_up,
)
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import Conflict, Forbidden
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.login import views
from freehold.login.flow import Visit, visit
from freehold.login.steps.sign_in import LONGEST_FIELD, allows_sign_up, finish

_FIELDS: dict[views.Identifier, str] = {"email": "email", "username": "username", "phone": "phone_number"}


async def show_page(http: Request) -> Response:
    """GET /u/signup."""
    here = await visit(http)
    return await here.show(_view(here, await _database(here), {}))


async def submit(http: Request) -> Response:
    """POST /u/signup."""
    here = await visit(http)
    database = await _database(here)
    required = _required(database)
    values = {name: here.field(name).strip()[:LONGEST_FIELD] for name in required}
    password = here.field("password")
    problems = [views.Problem(f"no-{name}", name) for name in required if not values[name]]
    if not password:
        problems.append(views.Problem("no-password", "password"))
    if problems:
        return await here.show(_view(here, database, values, *problems))
    given: dict[str, Any] = {_FIELDS[name]: value for name, value in values.items()}
    try:
        prepared = await prepare_password(
            here.store, here.tenant, http.services.passwords, database, password=password, profile=given
        )
        async with here.store.transaction() as tx:
            record = await sign_up(
                tx, here.tenant, database, given, password=prepared, client_id=here.client.client_id,
                ip=http.client_ip, user_agent=http.headers.get("user-agent", ""),
            )  # fmt: skip
            if "email" in given:
                await http.services.mail.send_verification_email(
                    tx, here.tenant, record.id, client_id=here.client.client_id
                )
    except PasswordRefused as refusal:
        return await here.show(
            _view(here, database, values, views.Problem("password-policy-not-conformant", "password", refusal.text))
        )
    except InvalidBody:
        field = next((name for name in required if name != "username"), required[0])
        return await here.show(_view(here, database, values, views.Problem(f"invalid-{field}-format", field)))
    except Conflict:
        return await here.show(_view(here, database, values, views.Problem("user-already-exists")))
    found = await find_for_login(here.store, here.tenant, database, str(next(iter(given.values()))))
    assert isinstance(found, SignIn)
    return await finish(here, database, found, None)


async def _database(here: Visit) -> Database:
    for database in await here.databases():
        if allows_sign_up(database):
            return database
    raise Forbidden("Sign-up is switched off for this application.", code="unauthorized")


def _required(database: Database) -> tuple[views.Identifier, ...]:
    found: list[views.Identifier] = []
    found += ["email"] if database.takes_email else []
    found += ["phone"] if database.takes_phone_number else []
    found += ["username"] if database.takes_username else []
    return tuple(found)


def _view(here: Visit, database: Database, values: dict[Any, str], *problems: views.Problem) -> views.SignUp:
    policy = str(database.options.get("passwordPolicy") or "good")
    return views.SignUp(
        form=here.page_form("/u/signup"),
        required=_required(database),
        values=values,
        password=views.PASSWORD_HINTS.get(policy, views.PASSWORD_HINTS["good"]),
        problems=problems,
        login_url=here.url("/u/login"),
    )
