"""What custom code is told of a request and its client, in the shapes of Auth0's `event`. Secrets are left out."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from freehold.domain.applications import Client
from freehold.kernel.http.request import Request

_HIDDEN = frozenset({
    "password", "client_secret", "client_assertion", "refresh_token", "code", "code_verifier", "assertion",
    "mfa_token", "otp", "recovery_code", "binding_code", "subject_token", "actor_token",
})  # fmt: skip
LONGEST_VALUE = 4096


def client_facts(client: Client) -> dict[str, Any]:
    """`event.client`."""
    metadata = client.client_metadata if client.client_metadata is not UNSET else {}
    return {"client_id": client.client_id, "name": client.name, "metadata": metadata or {}}


def request_facts(
    http: Request, *, ip: str = "", query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """`event.request`; parameters that prove something are not shown. `query` is the request's own unless given."""
    return {
        "ip": ip or http.client_ip,
        "method": http.method,
        "hostname": http.host,
        "user_agent": http.headers.get("user-agent", ""),
        "language": http.headers.get("accept-language", "").partition(",")[0],
        "query": _shown({name: http.query.get(name) for name in http.query} if query is None else query),
        "body": _shown(body or {}),
        "geoip": {},
    }


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in values.items()
        if name not in _HIDDEN and not (isinstance(value, str) and len(value) > LONGEST_VALUE)
    }
