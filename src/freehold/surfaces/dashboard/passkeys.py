"""Passkeys in a browser: what it is asked to sign, and the answer that a form brings back.

The question is stored, bound to the browser it was put to, and answered once.
"""

import json
from base64 import urlsafe_b64decode
from typing import Any

from freehold.domain.administrators import PasskeyRefused, assertion_options, require_admin
from freehold.domain.administrators.challenges import close_challenge, find_challenge, put_challenge
from freehold.domain.administrators.passkeys import registration_options
from freehold.domain.tenants import SETTINGS
from freehold.kernel.declare import documents
from freehold.kernel.errors import BadRequest
from freehold.kernel.http.csrf import verify_form
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.http.response import json as json_answer
from freehold.login import cookies
from freehold.surfaces.dashboard import visitors

LONGEST_ANSWER = 20_000


async def ask(request: Request) -> Response:
    """POST /admin/passkey-options: what the browser is to sign, to sign in, to confirm, or for a new passkey."""
    body = await request.json(1000)
    purpose = body.get("purpose") if isinstance(body, dict) else None
    if purpose == "sign-in":
        secret = cookies.visit_secret(request)
        verify_form(request, transaction=secret, token=request.headers.get("x-csrf-token"))
        person, bound_to = None, str(secret)
    elif purpose == "authenticate":
        acting = await require_admin(request, enrolling=True)
        person, bound_to = acting.administrator, acting.session.id
    elif purpose == "register":
        acting = await require_admin(request, fresh_s=visitors.fresh_s(request), enrolling=True)
        person, bound_to = acting.administrator, acting.session.id
    else:
        raise BadRequest("The purpose is sign-in, authenticate or register.")
    store, tenant = request.services.store, request.tenant
    async with store.transaction() as tx:
        value = await put_challenge(tx, tenant, "passkey", bound_to=bound_to)
    if purpose != "register":
        return json_answer(await assertion_options(store, tenant, person, challenge=_bytes(value)))
    assert person is not None
    settings: Any = await documents.cached_singleton(store, tenant, SETTINGS)
    name = settings.friendly_name if isinstance(settings.friendly_name, str) else ""
    return json_answer(
        await registration_options(store, tenant, person, challenge=_bytes(value), tenant_name=name)
    )  # fmt: skip


async def answered(request: Request, form: Parameters, *, bound_to: str) -> tuple[bytes, dict[str, Any]]:
    """The question that the form's passkey answers, which is closed by this, and the answer. Raises PasskeyRefused."""
    text = form.get("passkey")
    try:
        response = json.loads(text[:LONGEST_ANSWER])
        client_data = json.loads(_bytes(response["response"]["clientDataJSON"]))
        value = str(client_data["challenge"])
    except (ValueError, KeyError, TypeError):
        raise PasskeyRefused("unreadable answer") from None
    challenge = await find_challenge(
        request.services.store, request.tenant, "passkey", value, bound_to=bound_to
    )  # fmt: skip
    if challenge is None:
        raise PasskeyRefused("no such question was asked of this browser")
    async with request.services.store.transaction() as tx:
        if not await close_challenge(tx, request.tenant, challenge):
            raise PasskeyRefused("answered before")
    return _bytes(value), response


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
