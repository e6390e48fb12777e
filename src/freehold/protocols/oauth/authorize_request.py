"""Reading an authorization request (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1).

Two kinds of refusal: what concerns the client or the redirect URI is shown on our own page, because nothing proves that
the target is the client's; everything else goes back to the client.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.domain.applications import CLIENTS, Client
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import BadRequest
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.store import Store
from freehold.protocols.oauth.errors import OAuthError
from freehold.protocols.oauth.redirect_uris import is_registered

RESPONSE_TYPES = frozenset(
    frozenset(combination.split())
    for combination in (
        "code",
        "token",
        "id_token",
        "id_token token",
        "code id_token",
        "code token",
        "code id_token token",
    )
)
RESPONSE_MODES = frozenset({"query", "fragment", "form_post", "web_message"})
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
LONGEST = {"state": 8192, "nonce": 2048, "scope": 4096, "login_hint": 512}
LONGEST_OTHER = 2048


class PageError(BadRequest):
    """A refusal shown on our own page; it must not lead anywhere."""


class Authorize(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A checked authorization request; kept with the sign-in while the user is on our pages."""

    client_id: str
    redirect_uri: str
    response_type: str
    response_mode: str
    scope: str = ""
    state: str | None = None
    nonce: str | None = None
    audience: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    prompt: str | None = None
    max_age: int | None = None
    login_hint: str | None = None
    connection: str | None = None
    screen_hint: str | None = None
    ui_locales: str | None = None
    acr_values: str | None = None
    redirect_uri_given: bool = True
    extensions: dict[str, str] = {}
    """Parameters named `ext-...`, which page templates may read."""

    @property
    def wants(self) -> frozenset[str]:
        """The response types asked for: code, token, id_token."""
        return frozenset(self.response_type.split())

    @property
    def scopes(self) -> list[str]:
        """The scopes asked for, each once."""
        return list(dict.fromkeys(self.scope.split()))


class AuthorizeError(OAuthError):
    """An error that goes back to the client, by the response mode it asked for."""

    def __init__(self, request: Authorize, code: str, description: str, **members: Any) -> None:
        super().__init__(description, code=code, **members)
        self.request = request


async def read_authorize(params: Parameters, *, store: Store, tenant: TenantScope) -> tuple[Authorize, Client]:
    """The checked request and its client. Raises PageError or AuthorizeError."""
    client = await _client(params, store=store, tenant=tenant)
    redirect_uri, given = _redirect_uri(params, client)
    response_type = params.get("response_type") or ""
    kinds = frozenset(response_type.split())
    fragment = bool(kinds - {"code"}) and kinds in RESPONSE_TYPES
    request = Authorize(
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        redirect_uri_given=given,
        response_type=response_type,
        response_mode="fragment" if fragment else "query",
        state=(params.get("state") or None),
    )
    _check_repeated(params, request)
    _check_response(params, request, client)
    _fill(params, request)
    _check_rest(params, request)
    return request, client


async def _client(params: Parameters, *, store: Store, tenant: TenantScope) -> Client:
    found = params.all("client_id")
    if len(found) > 1 or len(params.all("redirect_uri")) > 1:
        raise PageError("client_id and redirect_uri must be sent once")
    if not found or not found[0]:
        raise PageError("Missing required parameter: client_id")
    client = await documents.cached(store, tenant, CLIENTS, found[0])
    if client is None or client.is_global:
        raise PageError(f"Unknown client: {found[0][:64]}")
    return client


def _redirect_uri(params: Parameters, client: Client) -> tuple[str, bool]:
    callbacks = client.callbacks if isinstance(client.callbacks, list) else []
    uri = params.get("redirect_uri")
    if not uri:
        exact = [callback for callback in callbacks if "*" not in callback]
        if not exact:
            raise PageError("Missing required parameter: redirect_uri")
        return exact[0], False
    if not is_registered(uri, callbacks, native=client.app_type == "native"):
        raise PageError("Callback URL mismatch. The provided redirect_uri is not in the list of allowed callback URLs.")
    return uri, True


def _check_repeated(params: Parameters, request: Authorize) -> None:
    for name in params:
        values = params.all(name)
        if len(values) > 1:
            raise AuthorizeError(request, "invalid_request", f"Parameter sent more than once: {name[:40]}")
        if len(values[0]) > LONGEST.get(name, LONGEST_OTHER):
            if name == "state":
                request.state = None
            raise AuthorizeError(request, "invalid_request", f"The parameter {name[:40]} is too long")


def _check_response(params: Parameters, request: Authorize, client: Client) -> None:
    if not request.response_type:
        raise AuthorizeError(request, "invalid_request", "Missing required parameter: response_type")
    if request.wants not in RESPONSE_TYPES:
        raise AuthorizeError(request, "unsupported_response_type", "Unsupported response type")
    mode = params.get("response_mode")
    if mode:
        if mode not in RESPONSE_MODES:
            raise AuthorizeError(request, "invalid_request", "Unsupported response mode")
        if mode == "query" and request.wants != {"code"}:
            raise AuthorizeError(request, "invalid_request", "Tokens cannot be returned in the query")
        request.response_mode = mode
    grants = client.grant_types if isinstance(client.grant_types, list) else []
    if "code" in request.wants and "authorization_code" not in grants:
        raise AuthorizeError(
            request, "unauthorized_client", "Grant type 'authorization_code' not allowed for the client."
        )
    if request.wants - {"code"} and "implicit" not in grants:
        raise AuthorizeError(request, "unauthorized_client", "Grant type 'implicit' not allowed for the client.")


def _fill(params: Parameters, request: Authorize) -> None:
    request.scope = params.get("scope") or ""
    for name in (
        "nonce", "audience", "code_challenge", "code_challenge_method", "prompt", "login_hint", "connection",
        "screen_hint", "ui_locales", "acr_values",
    ):  # fmt: skip
        setattr(request, name, params.get(name) or None)
    request.extensions = {name: params.get(name) or "" for name in params if name.startswith("ext-")}
    max_age = params.get("max_age")
    if max_age:
        if not (max_age.isascii() and max_age.isdigit() and len(max_age) < 10):
            raise AuthorizeError(request, "invalid_request", "max_age must be a number of seconds")
        request.max_age = int(max_age)


_REFUSED: Mapping[str, tuple[str, str]] = {
    "request": ("request_not_supported", "Request objects are not supported"),
    "request_uri": ("request_uri_not_supported", "request_uri is not supported"),
    "organization": ("invalid_request", "Organizations are not available on this server yet"),
    "invitation": ("invalid_request", "Organizations are not available on this server yet"),
}


def _check_rest(params: Parameters, request: Authorize) -> None:
    for name, (code, description) in _REFUSED.items():
        if params.get(name):
            raise AuthorizeError(request, code, description)
    prompts = frozenset((request.prompt or "").split())
    if prompts - PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise AuthorizeError(request, "invalid_request", "Unsupported prompt")
    if "id_token" in request.wants and not request.nonce:
        raise AuthorizeError(request, "invalid_request", "Missing required parameter: nonce")
    if "id_token" in request.wants and "openid" not in request.scopes:
        raise AuthorizeError(request, "invalid_scope", "The scope openid is required for an ID token")
    method = request.code_challenge_method
    if request.code_challenge:
        if method is None:
            request.code_challenge_method = "plain"
        elif method not in {"S256", "plain"}:
            raise AuthorizeError(request, "invalid_request", "Unsupported code_challenge_method")
        if not 43 <= len(request.code_challenge) <= 128:
            raise AuthorizeError(request, "invalid_request", "code_challenge must have 43 to 128 characters")
    elif method is not None:
        raise AuthorizeError(request, "invalid_request", "Missing required parameter: code_challenge")
