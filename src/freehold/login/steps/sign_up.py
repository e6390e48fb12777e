"""A new account, and being signed in with it at once.

That an address is taken is told here, because whoever owns it would otherwise wait for ever; who must not tell may
switch sign-up off. The mail to verify the address is sent behind the answer.
"""

from collections.abc import Mapping
from typing import Any

from freehold.domain.extensions.databases import ScriptFailed, ScriptRefused
from freehold.domain.extensions.executions import keep_all
from freehold.domain.protection import AddressThrottled, admit_sign_up
from freehold.domain.users import (
    Database,
    PasswordRefused,
    SignIn,
    create_elsewhere,
    find_for_login,
    prepare_password,
    profile_of,
    sign_up,
)
from freehold.kernel.crypto.passwords import PasswordNotUsable, PasswordTooLong
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import BadRequest, Conflict, Forbidden
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.login import custom_code, flow, views
from freehold.login.flow import Visit, visit
from freehold.login.password_hints import hints_for
from freehold.login.steps.sign_in import LONGEST_FIELD, event, finish

_FIELDS: Mapping[str, views.Identifier] = {"email": "email", "username": "username", "phone_number": "phone"}
_MEMBERS = {field: member for member, field in _FIELDS.items()}


async def show_page(http: Request) -> Response:
    """GET /u/signup."""
    here = await visit(http)
    database = await _database(here)
    hint = str(here.authorize.get("login_hint") or "")
    return await here.show(_view(here, database, {"email": hint} if "@" in hint else {}))


async def submit(http: Request) -> Response:
    """POST /u/signup."""
    here = await visit(http)
    database = await _database(here)
    required, optional = _fields(database)
    typed = {name: here.field(name).strip()[:LONGEST_FIELD] for name in (*required, *optional)}
    password = here.field("password")
    problems = [views.Problem(f"no-{_MEMBERS[name]}", name) for name in required if not typed[name]]
    if not any(typed.values()) and not problems:
        problems.append(views.Problem("no-identifier"))
    if not password:
        problems.append(views.Problem("no-password", "password"))
    if problems:
        return await here.show(_view(here, database, typed, *problems))
    given = {_MEMBERS[name]: value for name, value in typed.items() if value}
    try:
        return await _make(here, database, given, password)
    except PasswordRefused as refusal:
        problem = views.Problem(_REFUSALS.get(refusal.name, "password-policy-not-conformant"), "password")
    except (PasswordTooLong, PasswordNotUsable) as error:
        problem = views.Problem("password-policy-not-conformant", "password", error.message)
    except AddressThrottled as error:
        response = await here.show(_view(here, database, typed, views.Problem("ip-blocked")))
        response.status = error.status
        response.headers.append(("retry-after", str(error.retry_after_s)))
        return response
    except custom_code.RegistrationRefused as refusal:
        problem = views.Problem("custom-script-error-code", text=refusal.message)
    except ScriptFailed as error:
        text = error.message if isinstance(error, ScriptRefused) else ""
        problem = views.Problem("custom-script-error-code", text=text)
    except InvalidBody as error:
        problem = _malformed(error, given)
    except BadRequest as error:
        problem = _unfit(error, database, given)
    except Conflict:
        problem = views.Problem("email-in-use" if "email" in given else "username-taken")
    async with here.store.transaction() as tx:
        await event(tx, here, "fs", database=database, identifier=next(iter(given.values())), description=problem.code)
    return await here.show(_view(here, database, typed, problem))


async def _make(here: Visit, database: Database, given: Mapping[str, Any], password: str) -> Response:
    http = here.http
    await admit_sign_up(http.services, here.tenant, http.client_ip)
    prepared = await prepare_password(
        here.store, here.tenant, http.services.passwords, database, password=password, profile=given
    )
    profile, executions = await custom_code.before_registration(
        http, database, given, password=password, client=here.client
    )
    made = await create_elsewhere(
        http.services, here.tenant, database, profile, password=password, client_id=here.client.client_id
    )
    async with here.store.transaction() as tx:
        await keep_all(tx, here.tenant, executions)
        record = await sign_up(
            tx, here.tenant, database, profile_of(profile, made), password=prepared, id_=made.id if made else None,
            client_id=here.client.client_id, ip=http.client_ip, user_agent=http.headers.get("user-agent", ""),
        )  # fmt: skip
        await custom_code.tell(tx, http, "post-user-registration", record.document, database)
        if "email" in given and not record.document.get("email_verified"):
            await http.services.mail.send_verification_email(
                tx, here.tenant, record.id, client_id=here.client.client_id
            )
    found = await find_for_login(here.store, here.tenant, database, str(next(iter(given.values()))))
    assert isinstance(found, SignIn)  # made a moment ago
    return await finish(here, database, found)


_REFUSALS = {
    "PasswordDictionaryError": "password-too-common",
    "PasswordNoUserInfoError": "password-contains-user-information",
    "PasswordHistoryError": "password-previously-used",
}


def _malformed(error: InvalidBody, given: Mapping[str, Any]) -> views.Problem:
    """The identifier that has not the form of its kind."""
    for member, code in (
        ("email", "invalid-email-format"),
        ("phone_number", "invalid-phone-format"),
        ("username", "invalid-username"),
    ):
        if member in given and f"property {member}" in error.message:
            return views.Problem(code, _FIELDS[member])
    return views.Problem("unknown-problem")


def _unfit(error: BadRequest, database: Database, given: Mapping[str, Any]) -> views.Problem:
    """The user name that is too long or too short, mostly."""
    least, most = database.username_bounds
    length = len(str(given.get("username", "")))
    if "username" in given and length < least:
        return views.Problem("invalid-username-min-length", "username", variables={"min": str(least)})
    if "username" in given and length > most:
        return views.Problem("invalid-username-max-length", "username", variables={"max": str(most)})
    return views.Problem("unknown-problem")


async def _database(here: Visit) -> Database:
    for database in await here.databases():
        if database.allows_sign_up:
            return database
    raise Forbidden("Sign-up is switched off for this application.", code="unauthorized")


def _fields(database: Database) -> tuple[tuple[views.Identifier, ...], tuple[views.Identifier, ...]]:
    """The inputs that must and may be filled in; where anything would do, the first must."""
    required = tuple(_FIELDS[name] for name in database.required_identifiers)
    optional = tuple(_FIELDS[name] for name in database.optional_identifiers)
    return (required, optional) if required else (optional[:1], optional[1:])


def _view(here: Visit, database: Database, values: Mapping[Any, str], *problems: views.Problem) -> views.SignUp:
    required, optional = _fields(database)
    return views.SignUp(
        form=here.page_form(flow.SIGN_UP),
        required=required,
        optional=optional,
        values=values,
        password=hints_for(database),
        problems=problems,
        login_url=here.url(flow.SIGN_IN),
    )
