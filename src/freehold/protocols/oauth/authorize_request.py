"""Reading an authorization request (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1).

Two kinds of refusal: what concerns the client or the redirect URI is shown on our own page, because nothing proves that
the target is the client's; everything else goes back to the client.
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from freehold.domain.applications import CLIENTS, Client
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import BadRequest
from freehold.kernel.http.parameters import Parameters
from freehold.kernel.store import Store
from freehold.login import web_origin
from freehold.protocols.oauth.errors import OAuthError
from freehold.protocols.oauth.origins import is_among, origins_of
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
LONGEST = {"state": 8192, "scope": 4096, "login_hint": 512, "id_token_hint": 8192}
LONGEST_OTHER = 2048
MOST_OTHERS = 20

_FILLED = (
    "nonce", "audience", "code_challenge", "code_challenge_method", "prompt", "login_hint", "id_token_hint",
    "connection", "connection_scope", "screen_hint", "ui_locales", "acr_values",
)  # fmt: skip
_GIVEN = ("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", *_FILLED)
_READ = frozenset({*_GIVEN, "max_age"})
_CHALLENGE = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


class PageError(BadRequest):
    """A refusal shown on our own page; it must not lead anywhere."""

    code = "invalid_request"


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
    id_token_hint: str | None = None
    connection: str | None = None
    connection_scope: str | None = None
    screen_hint: str | None = None
    ui_locales: str | None = None
    acr_values: str | None = None
    redirect_uri_given: bool = True
    iss: str | None = None
    """What the response says of its sender, when the tenant promises it (RFC 9207)."""
    others: dict[str, str] = {}
    """Parameters that say nothing to us, such as `ext-...`; custom code is told of them."""

    @property
    def wants(self) -> frozenset[str]:
        """The response types asked for: code, token, id_token."""
        return frozenset(self.response_type.split())

    @property
    def query(self) -> dict[str, str]:
        """The request as parameters again, for custom code: `event.request.query`."""
        given = {name: getattr(self, name) for name in _GIVEN}
        if not self.redirect_uri_given:
            del given["redirect_uri"]
        if self.response_mode == _default_mode(self.wants):
            del given["response_mode"]
        if self.max_age is not None:
            given["max_age"] = str(self.max_age)
        return {**self.others, **{name: value for name, value in given.items() if value}}

    @property
    def scopes(self) -> list[str]:
        """The scopes asked for, each once."""
        return list(dict.fromkeys(self.scope.split()))

    @property
    def prompts(self) -> frozenset[str]:
        """What `prompt` asks for."""
        return frozenset((self.prompt or "").split())


class AuthorizeError(OAuthError):
    """An error that goes back to the client, by the response mode it asked for."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description, code=code)


async def read_target(params: Parameters, *, store: Store, tenant: TenantScope) -> tuple[Authorize, Client]:
    """Who asks, and where and how the answer goes: all that must be right before anything is sent there.

    Raises PageError.
    """
    client = await _client(params, store=store, tenant=tenant)
    redirect_uri, given = _redirect_uri(params, client)
    response_type, state, mode = (_single(params, name) for name in ("response_type", "state", "response_mode"))
    kinds = frozenset((response_type or "").split())
    request = Authorize(
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        redirect_uri_given=given,
        response_type=response_type or "",
        response_mode=_default_mode(kinds),
        state=state if state and len(state) <= LONGEST["state"] else None,
    )
    if mode == "web_message":
        origin = web_origin(redirect_uri)
        if origin is None or not is_among(origin, origins_of(client.web_origins)):
            raise PageError("The origin of the redirect_uri is not among the allowed web origins of the application.")
        request.response_mode = mode
    elif mode == "fragment" or (mode == "form_post" and web_origin(redirect_uri) is not None):
        request.response_mode = mode
    settings = await documents.cached_singleton(store, tenant, SETTINGS)
    if settings.authorization_response_iss_parameter_supported is True:
        request.iss = tenant.issuer
    return request, client


def read_rest(params: Parameters, request: Authorize, client: Client) -> None:
    """Check everything else and fill it in. Raises AuthorizeError."""
    _check_form(params)
    _check_response(params, request, client)
    _fill(params, request)
    _check_supported(params, client)
    _check_openid(request)
    _check_pkce(request)


def _default_mode(kinds: frozenset[str]) -> str:
    return "fragment" if kinds - {"code"} and kinds in RESPONSE_TYPES else "query"


async def _client(params: Parameters, *, store: Store, tenant: TenantScope) -> Client:
    found = params.all("client_id")
    if len(found) > 1 or len(params.all("redirect_uri")) > 1:
        raise PageError("client_id and redirect_uri must be sent once.")
    if not found or not found[0]:
        raise PageError("Missing required parameter: client_id")
    client = await documents.cached(store, tenant, CLIENTS, found[0])
    if client is None or client.is_global:
        raise PageError(f"Unknown client: {found[0][:64]}")
    return client


def _redirect_uri(params: Parameters, client: Client) -> tuple[str, bool]:
    callbacks = [] if client.callbacks is UNSET else client.callbacks
    uri = params.one("redirect_uri")
    if not uri:
        exact = next((callback for callback in callbacks if "*" not in callback), None)
        if exact is None:
            raise PageError("Missing required parameter: redirect_uri")
        return exact, False
    if not is_registered(uri, callbacks, native=client.app_type == "native"):
        raise PageError(
            "Callback URL mismatch. The provided redirect_uri is not in the list of allowed callback URLs.",
            code="unauthorized_client",
        )
    return uri, True


def _single(params: Parameters, name: str) -> str | None:
    """A parameter that decides how an error is delivered; one sent twice decides nothing."""
    values = params.all(name)
    return values[0] if len(values) == 1 else None


def _check_form(params: Parameters) -> None:
    for name in params:
        values = params.all(name)
        if len(values) > 1:
            raise AuthorizeError("invalid_request", f"Parameter sent more than once: {name[:40]}")
        if len(values[0]) > LONGEST.get(name, LONGEST_OTHER):
            raise AuthorizeError("invalid_request", f"The parameter {name[:40]} is too long")


def _check_response(params: Parameters, request: Authorize, client: Client) -> None:
    if not request.response_type:
        raise AuthorizeError("invalid_request", "Missing required parameter: response_type")
    if request.wants not in RESPONSE_TYPES:
        raise AuthorizeError("unsupported_response_type", "Unsupported response type")
    mode = params.get("response_mode")
    if mode and mode not in RESPONSE_MODES:
        raise AuthorizeError("invalid_request", "Unsupported response mode")
    if mode == "query" and request.wants != {"code"}:
        raise AuthorizeError("invalid_request", "Tokens cannot be returned in the query")
    if mode and mode != request.response_mode:
        raise AuthorizeError("invalid_request", f"The response mode {mode} does not fit the redirect_uri")
    for needed, kinds in (("authorization_code", {"code"}), ("implicit", {"token", "id_token"})):
        if request.wants & kinds and needed not in client.grant_types:
            raise AuthorizeError("unauthorized_client", f"Grant type '{needed}' not allowed for the client.")


def _fill(params: Parameters, request: Authorize) -> None:
    request.scope = params.get("scope")
    for name in _FILLED:
        setattr(request, name, params.get(name) or None)
    others = [name for name in params if name not in _READ]
    request.others = {name: params.get(name) for name in others[:MOST_OTHERS]}
    max_age = params.get("max_age")
    if max_age:
        if not (max_age.isascii() and max_age.isdigit() and len(max_age) < 10):
            raise AuthorizeError("invalid_request", "max_age must be a number of seconds")
        request.max_age = int(max_age)


_REFUSED: Mapping[str, tuple[str, str]] = {
    "request": ("request_not_supported", "Request objects are not supported"),
    "request_uri": ("request_uri_not_supported", "request_uri is not supported"),
    "organization": ("invalid_request", "Organizations are not available on this server yet"),
    "invitation": ("invalid_request", "Organizations are not available on this server yet"),
    "authorization_details": ("invalid_request", "authorization_details is not supported"),
    "dpop_jkt": ("invalid_request", "DPoP is not available on this server yet"),
}


def _check_supported(params: Parameters, client: Client) -> None:
    """Refuse what asks for more safety than this server can give yet, rather than give less."""
    for name, (code, description) in _REFUSED.items():
        if params.get(name):
            raise AuthorizeError(code, description)
    if client.require_pushed_authorization_requests is True:
        raise AuthorizeError("invalid_request", "The client wants pushed requests, which this server cannot take yet")
    if client.signed_request_object is not UNSET and client.signed_request_object.required is True:
        raise AuthorizeError("invalid_request", "The client wants signed requests, which this server cannot take yet")
    if wants_fapi(client):
        raise AuthorizeError("invalid_request", "The client wants a FAPI profile, which this server does not have yet")
    if client.organization_usage == "require":
        raise AuthorizeError("invalid_request", "Organizations are not available on this server yet")


def wants_fapi(client: Client) -> bool:
    """Whether the client is to be held to a profile of FAPI: pushed or signed requests, and keys for secrets."""
    return client.compliance_level not in {UNSET, None, "none"}


def _check_openid(request: Authorize) -> None:
    if request.prompts - PROMPTS or ("none" in request.prompts and len(request.prompts) > 1):
        raise AuthorizeError("invalid_request", "Unsupported prompt")
    if "id_token" in request.wants and not request.nonce:
        raise AuthorizeError("invalid_request", "Missing required parameter: nonce")
    if "id_token" in request.wants and "openid" not in request.scopes:
        raise AuthorizeError("invalid_scope", "The scope openid is required for an ID token")


def _check_pkce(request: Authorize) -> None:
    method = request.code_challenge_method
    if not request.code_challenge:
        if method is not None:
            raise AuthorizeError("invalid_request", "Missing required parameter: code_challenge")
        return
    if method is None:
        request.code_challenge_method = "plain"
    elif method not in {"S256", "plain"}:
        raise AuthorizeError("invalid_request", "Unsupported code_challenge_method")
    if not _CHALLENGE.fullmatch(request.code_challenge):
        raise AuthorizeError("invalid_request", "code_challenge must be 43 to 128 unreserved characters")
