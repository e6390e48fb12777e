"""Which client sends a request, and proof that it does (RFC 6749 section 2.3, OpenID Connect Core section 9).

One method per request: credentials in the header and in the body together are refused, and there is no falling back
from one to another. A client with a secret may send it in the header or in the body, as at Auth0, where libraries that
know only one of the two work with every application.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from msgspec import UNSET

from freehold.domain.applications import CLIENTS, Client
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.http.request import Request
from freehold.kernel.store import Store
from freehold.protocols.oauth.errors import InvalidClient, InvalidRequest

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TWICE = "Client credentials may be sent in one place only"


async def authenticate_client(
    request: Request, params: Mapping[str, Any], *, store: Store, tenant: TenantScope
) -> Client:
    """The client of the request, proved by the method it is configured for.

    Raises InvalidRequest when client_id is missing or two methods are used, InvalidClient when the proof fails.
    """
    basic = _basic(request.headers.get("authorization"))
    assertion = params.get("client_assertion")
    client_id, secret = params.get("client_id"), params.get("client_secret")
    if basic is not None:
        if secret is not None or assertion is not None or client_id not in {None, basic[0]}:
            raise InvalidRequest(TWICE)
        client_id, secret = basic
    if assertion is not None:
        if secret is not None:
            raise InvalidRequest(TWICE)
        if params.get("client_assertion_type") != JWT_BEARER:
            raise InvalidRequest(f"client_assertion_type must be {JWT_BEARER}")
        from freehold.protocols.oauth.assertions import verify_client_assertion  # brings joserfc, which few need

        return await verify_client_assertion(str(assertion), client_id, store=store, tenant=tenant)
    if not isinstance(client_id, str) or not client_id:
        raise InvalidRequest("Missing required parameter: client_id")
    client = await documents.cached(store, tenant, CLIENTS, client_id)
    if client is None or client.is_global or client.client_authentication_methods:
        raise InvalidClient("Unauthorized")
    if client.token_endpoint_auth_method == "none":  # noqa: S105 - a method's name
        return client
    expected = client.client_secret
    if expected is UNSET or not isinstance(secret, str):
        raise InvalidClient("Unauthorized")
    if not hmac.compare_digest(secret.encode(errors="replace"), expected.encode()):
        raise InvalidClient("Unauthorized")
    return client


async def find_claimed_client(
    request: Request, params: Mapping[str, Any], *, store: Store, tenant: TenantScope
) -> Client | None:
    """The client that a request which could not be authenticated claims to be from, for the tenant's log."""
    basic = _basic(request.headers.get("authorization"))
    client_id = basic[0] if basic else params.get("client_id")
    return await documents.cached(store, tenant, CLIENTS, client_id) if isinstance(client_id, str) else None


def _basic(header: str | None) -> tuple[str, str] | None:
    """User and password of a Basic header, each form-decoded (RFC 6749 section 2.3.1). Raises InvalidRequest."""
    if header is None or header[:6].lower() != "basic ":
        return None
    try:
        decoded = base64.b64decode(header[6:].strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidRequest("The Authorization header is malformed") from None
    user, colon, password = decoded.partition(":")
    if not colon:
        raise InvalidRequest("The Authorization header is malformed")
    return unquote_plus(user), unquote_plus(password)
