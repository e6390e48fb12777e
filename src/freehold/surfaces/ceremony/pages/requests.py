"""The list of exports, and the form in which one is asked for or changed."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
from msgspec.structs import replace

from freehold.domain import ceremonies
from freehold.domain.administrators import Acting, require_admin
from freehold.domain.ceremonies import KINDS, Ceremony, Given, GivenRecipient
from freehold.domain.ceremonies.drafting import LONGEST_PURPOSE, MOST_RECIPIENTS, SHORTEST_PURPOSE
from freehold.domain.ceremonies.evidence.executives import list_executives
from freehold.domain.ceremonies.evidence.recipient_key import KeyRefused, check_recipient_key
from freehold.domain.ceremonies.people import NotYours
from freehold.domain.ceremonies.pieces import of_kind
from freehold.domain.ceremonies.states import BEFORE_BUILD, DRAFT
from freehold.domain.connections import CONNECTIONS, DATABASE
from freehold.kernel.declare import documents
from freehold.kernel.errors import FreeholdError, NotFound
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.locale import choose_language
from freehold.login.texts import LANGUAGES
from freehold.surfaces.ceremony.pages.frame import (
    EXPORTS,
    SCREENS,
    attempt_of,
    enter,
    fresh,
    text_or_file,
    version_of,
)
from freehold.surfaces.dashboard.visitors import go

_FIELDS = {
    "no_kinds": "kinds",
    "bad_purpose": "purpose",
    "bad_date": "needed_by",
    "bad_language": "language",
    "unknown_executive": "executive",
    "own_signature": "executive",
}
"""Beside which field a refusal is shown; what is said of a key is shown beside that key."""


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the form."""

    kinds: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    purpose: str = ""
    needed_by: str = ""
    executive: str = ""
    language: str = "en"
    recipients: tuple[tuple[str, str], ...] = (("", ""),)
    """E-mail and key of each; the first is the requester's, whose e-mail is known."""
    version: str = ""
    problems: Mapping[str, FreeholdError | str] = msgspec.field(default_factory=lambda: defaultdict(str))


async def show_list(request: Request) -> Response:
    """GET /admin/exports."""
    acting = await require_admin(request)
    store, tenant = request.services.store, request.tenant
    return await SCREENS.render(
        request, acting, "exports.html", active="exports", found=await ceremonies.list_ceremonies(store, tenant),
        offered=ceremonies.policy_of(request.services.settings, tenant).offered,
        may_begin=acting.administrator.role == "admin", groups=_groups,
    )  # fmt: skip


async def show_new(request: Request) -> Response:
    """GET /admin/exports/new."""
    acting = await fresh(request)
    language = choose_language(
        ui_locales=None, accept_language=request.headers.get("accept-language"), enabled=LANGUAGES, supported=LANGUAGES
    )
    return await _form(request, acting, Typed(language=language), None)


async def submit_new(request: Request) -> Response:
    """POST /admin/exports."""
    form = await _with_keys(request)
    entered = await enter(request, form)
    if isinstance(entered, Response):
        return entered
    typed = _typed(form)
    try:
        made = await ceremonies.draft(attempt_of(request, entered.acting), _given(typed))
    except FreeholdError as error:
        return entered.leave(await _refused(request, entered.acting, typed, None, error))
    return entered.leave(go(f"{EXPORTS}/{made.id}"))


async def show_change(request: Request) -> Response:
    """GET /admin/exports/{id}/change: the form with what was asked for."""
    acting = await fresh(request)
    ceremony = await _own(request, acting)
    asked = ceremony.request
    pieces = await ceremonies.pieces_of(request.services.store, request.tenant, ceremony)
    keys = {piece.subject: piece.content.decode() for piece in of_kind(pieces, "recipient_key")}
    typed = Typed(
        kinds=asked.kinds, connections=asked.connections, purpose=asked.purpose, needed_by=asked.needed_by or "",
        executive=asked.executive.id, language=asked.language, version=str(ceremony.version),
        recipients=tuple((one.email, keys.get(one.fingerprint, "")) for one in asked.recipients),
    )  # fmt: skip
    return await _form(request, acting, typed, ceremony)


async def submit_change(request: Request) -> Response:
    """POST /admin/exports/{id}/change."""
    form = await _with_keys(request)
    entered = await enter(request, form)
    if isinstance(entered, Response):
        return entered
    acting, typed = entered.acting, _typed(form)
    ceremony = await _own(request, acting)
    try:
        await ceremonies.change(attempt_of(request, acting), ceremony.id, _given(typed), version=version_of(form))
    except FreeholdError as error:
        return entered.leave(await _refused(request, acting, typed, ceremony, error))
    return entered.leave(go(f"{EXPORTS}/{ceremony.id}"))


async def _own(request: Request, acting: Acting) -> Ceremony:
    ceremony = await ceremonies.get_ceremony(request.services.store, request.tenant, request.params["id"])
    if ceremony.requester_id != acting.administrator.id:
        raise NotYours("Only the requester can do this.")
    if ceremony.state not in DRAFT | BEFORE_BUILD:
        raise ceremonies.WrongState(ceremony.state)
    return ceremony


async def _with_keys(request: Request) -> Parameters:
    """The form's fields; keys that came as files are put into their fields, where they are not lost."""
    form = await request.form()
    keys = {f"key_{at}": await text_or_file(request, form, f"key_{at}") for at in range(1, MOST_RECIPIENTS + 1)}
    return Parameters([*((name, value) for name, value in form.pairs() if name not in keys), *keys.items()])


def _typed(form: Parameters) -> Typed:
    recipients = [(form.get(f"email_{at}").strip(), form.get(f"key_{at}")) for at in range(1, MOST_RECIPIENTS + 1)]
    further = [pair for pair in recipients[1:] if any(pair)]
    return Typed(
        kinds=tuple(form.all("kinds")), connections=tuple(form.all("connections")),
        purpose=" ".join(form.get("purpose").split()), needed_by=form.get("needed_by").strip(),
        executive=form.get("executive"), language=form.get("language") or "en", version=form.get("version"),
        recipients=(recipients[0], *further),
    )  # fmt: skip


def _given(typed: Typed) -> Given:
    return Given(
        kinds=tuple(kind for kind in KINDS if kind in typed.kinds),
        connections=typed.connections,
        purpose=typed.purpose,
        needed_by=typed.needed_by or None,
        executive=typed.executive,
        language=typed.language,
        recipients=tuple(GivenRecipient(key=key, email=email) for email, key in typed.recipients),
    )


async def _refused(
    request: Request, acting: Acting, typed: Typed, ceremony: Ceremony | None, error: FreeholdError
) -> Response:
    """The form again, with the refusal beside its field, and what else is missing beside the others."""
    problems: dict[str, FreeholdError | str] = defaultdict(str)
    if not typed.kinds:
        problems["kinds"] = "error.no_kinds"
    if not SHORTEST_PURPOSE <= len(typed.purpose) <= LONGEST_PURPOSE:
        problems["purpose"] = "error.bad_purpose"
    if typed.needed_by and not _is_to_come(typed.needed_by, request.tenant.clock.now().date()):
        problems["needed_by"] = "error.bad_date"
    if not typed.executive:
        problems["executive"] = "error.unknown_executive"
    for at, (email, key) in enumerate(typed.recipients, 1):
        if not key:
            problems[f"key_{at}"] = "error.no_key"
        elif at > 1 and not email:
            problems[f"email_{at}"] = "error.no_email"
    if isinstance(error, KeyRefused):
        at = await _refused_key(request, acting, typed)
        problems.setdefault(f"key_{at}", error)
    elif error.code in _FIELDS:
        problems.setdefault(_FIELDS[error.code], error)
    typed = replace(typed, problems=problems)
    known = isinstance(error, KeyRefused) or error.code in _FIELDS
    return await _form(request, acting, typed, ceremony, problem="request.see_below" if known else error)


def _is_to_come(text: str, today: date) -> bool:
    try:
        return date.fromisoformat(text) >= today
    except ValueError:
        return False


async def _refused_key(request: Request, acting: Acting, typed: Typed) -> int:
    """Which of several keys was refused; the first one when it is about how they go together."""
    policy = ceremonies.policy_of(request.services.settings, request.tenant)
    if len(typed.recipients) > 1:
        for at, (email, key) in enumerate(typed.recipients, 1):
            try:
                await check_recipient_key(
                    key, email=email or acting.administrator.email, now=request.tenant.clock.now(),
                    retention_days=policy.retention_days, policy=policy.key_policy,
                )  # fmt: skip
            except KeyRefused:
                return at
    return 1


async def _form(
    request: Request, acting: Acting, typed: Typed, ceremony: Ceremony | None, *, problem: Any = None
) -> Response:
    store, tenant = request.services.store, request.tenant
    policy = ceremonies.policy_of(request.services.settings, tenant)
    if ceremony is None and not policy.offered:
        raise NotFound("Not Found")
    databases = [
        connection.name for connection in await documents.find_all(store, tenant, CONNECTIONS)
        if connection.strategy == DATABASE
    ]  # fmt: skip
    return await SCREENS.render(
        request, acting, "request.html", active="exports", typed=typed, ceremony=ceremony, kinds=KINDS,
        databases=sorted(databases), executives=await list_executives(store, tenant), problem=problem,
        policy=msgspec.to_builtins(policy), relaxed=policy.relaxed, most=MOST_RECIPIENTS, longest=LONGEST_PURPOSE,
        languages=LANGUAGES, today=tenant.clock.now().date().isoformat(),
    )  # fmt: skip


def _groups(ceremony: Ceremony) -> str:
    return ceremonies.groups(bytes.fromhex(ceremony.digest))
