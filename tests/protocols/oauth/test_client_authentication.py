"""Proof of the client (RFC 6749 section 2.3, RFC 7523; threats: client authentication)."""

import base64
import hmac
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.support.applications import Application, make_application
from tests.support.in_process import Installation

UNAUTHORIZED = {"error": "access_denied", "error_description": "Unauthorized"}
BEARER_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return with_grant(make_application(installation))


def with_grant(app: Application) -> Application:
    """Let the client have tokens of its API on its own account."""
    body = {"client_id": app.client_id, "audience": app.audience, "scope": ["read:orders"]}
    app.manage("POST", "/client-grants", body)
    return app


def post(app: Application, body: dict[str, Any], *, basic: tuple[str, str] | str | None = None) -> httpx.Response:
    """Ask for a token of the client's own."""
    headers = {}
    if basic is not None:
        plain = basic if isinstance(basic, str) else ":".join(quote(part, safe="") for part in basic)
        headers["authorization"] = "Basic " + base64.b64encode(plain.encode()).decode()
    full = {"grant_type": "client_credentials", "audience": app.audience, **body}
    with app.http() as http:
        return http.post("/oauth/token", data=full, headers=headers)


def test_the_secret_may_come_in_the_body_or_in_the_header(app: Application) -> None:
    secret = app.client_secret or ""
    assert post(app, app.credentials()).status_code == 200
    assert post(app, {}, basic=(app.client_id, secret)).status_code == 200
    assert post(app, {"client_id": app.client_id}, basic=(app.client_id, secret)).status_code == 200
    with app.http() as http:
        body = {"grant_type": "client_credentials", "audience": app.audience, **app.credentials()}
        assert http.post("/oauth/token", json=body).status_code == 200


@pytest.mark.parametrize("secret", ["wrong", "", None])
def test_a_wrong_secret_is_unauthorized(app: Application, secret: str | None) -> None:
    answer = post(app, {"client_id": app.client_id, **({} if secret is None else {"client_secret": secret})})
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)
    assert app.events(type="feccft")[0]["description"] == "Unauthorized"


def test_an_unknown_client_is_answered_like_a_wrong_secret(app: Application) -> None:
    answer = post(app, {"client_id": "nobody", "client_secret": "wrong"})
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_the_global_client_gets_no_tokens(app: Application) -> None:
    [known] = [one for one in app.manage("GET", "/clients?is_global=true") if one.get("global")]
    answer = post(app, {"client_id": known["client_id"], "client_secret": known.get("client_secret", "x")})
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_a_wrong_secret_in_the_header_is_challenged(app: Application) -> None:
    """RFC 6749 section 5.2"""
    answer = post(app, {}, basic=(app.client_id, "wrong"))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


def test_credentials_in_two_places_are_refused(app: Application) -> None:
    """RFC 6749 section 2.3"""
    secret = app.client_secret or ""
    for body in (
        app.credentials(),
        {"client_secret": secret},
        {"client_id": "other"},
        {"client_assertion": "a.b.c", "client_assertion_type": BEARER_ASSERTION},
    ):
        answer = post(app, body, basic=(app.client_id, secret))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    both = {**app.credentials(), "client_assertion": "a.b.c", "client_assertion_type": BEARER_ASSERTION}
    assert post(app, both).json()["error"] == "invalid_request"


@pytest.mark.parametrize("header", ["no-colon", "\xff\xfe"])
def test_a_malformed_header_is_refused(app: Application, header: str) -> None:
    assert post(app, {}, basic=header).json()["error"] in {"invalid_request", "access_denied"}
    with app.http() as http:
        answer = http.post("/oauth/token", data={"grant_type": "client_credentials"},
                           headers={"authorization": "Basic !!!"})  # fmt: skip
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_without_a_client_the_request_is_bad(app: Application) -> None:
    answer = post(app, {})
    assert answer.json() == {"error": "invalid_request", "error_description": "Missing required parameter: client_id"}


@pytest.mark.parametrize("client_id", [1, ["x"], {"a": 1}, None, True])
def test_a_client_id_of_another_type_is_refused(app: Application, client_id: Any) -> None:
    with app.http() as http:
        answer = http.post("/oauth/token", json={"grant_type": "client_credentials", "client_id": client_id})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_repeated_parameters_are_refused(app: Application) -> None:
    """RFC 6749 section 3.2"""
    form = f"grant_type=client_credentials&client_id={app.client_id}&client_id={app.client_id}"
    with app.http() as http:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = http.post("/oauth/token", content=form, headers=headers)
        twice = http.post(
            "/oauth/token", content='{"client_id":"a","client_id":"b"}', headers={"content-type": "application/json"}
        )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")


def test_a_public_client_has_no_secret_to_show(installation: Installation) -> None:
    spa = make_application(installation, app_type="spa", token_endpoint_auth_method="none")
    ada = spa.add_user()
    assert spa.redeem(spa.sign_in(ada)).status_code == 200
    refused = post(spa, spa.credentials())
    assert (refused.status_code, refused.json()["error"]) == (403, "unauthorized_client")


# --- private_key_jwt ------------------------------------------------------------------------------------------------


def encoded(raw: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class KeyHolder:
    """An application that signs assertions."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.pem = (
            self.private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        self.app = with_grant(make_application(installation))
        path = f"/clients/{self.app.client_id}/credentials"
        made = self.app.manage("POST", path, {"credential_type": "public_key", "name": "one", "pem": self.pem})
        self.kid = made["kid"]
        method = {"private_key_jwt": {"credentials": [{"id": made["id"]}]}}
        self.app.change(client_authentication_methods=method, token_endpoint_auth_method=None)

    def assertion(
        self, *, alg: str = "RS256", key: Any = None, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        now = self.installation.clock.now_ms() // 1000
        full = {
            "iss": self.app.client_id, "sub": self.app.client_id, "aud": self.app.issuer, "iat": now, "exp": now + 60,
            "jti": secrets.token_hex(8),
        } | claims  # fmt: skip
        full = {name: value for name, value in full.items() if value is not None}
        signing = key or RSAKey.import_key(self.private)
        return jwt.encode({"alg": alg, "kid": self.kid, **(header or {})}, full, signing, algorithms=[alg])

    def send(self, assertion: str, **more: Any) -> httpx.Response:
        return post(self.app, {"client_assertion": assertion, "client_assertion_type": BEARER_ASSERTION, **more})


@pytest.fixture(scope="module")
def holder(installation: Installation) -> KeyHolder:
    return KeyHolder(installation)


def test_a_signed_assertion_proves_the_client(holder: KeyHolder) -> None:
    assert holder.send(holder.assertion()).status_code == 200
    assert holder.send(holder.assertion(aud=f"{holder.app.issuer}oauth/token")).status_code == 200
    assert holder.send(holder.assertion(), client_id=holder.app.client_id).status_code == 200


def test_an_assertion_counts_once(holder: KeyHolder) -> None:
    assertion = holder.assertion()
    assert holder.send(assertion).status_code == 200
    assert holder.send(assertion).json() == UNAUTHORIZED
    same_id = holder.assertion(jti="the same")
    assert holder.send(same_id).status_code == 200
    assert holder.send(holder.assertion(jti="the same")).json() == UNAUTHORIZED


def test_of_many_uses_at_once_one_counts(holder: KeyHolder) -> None:
    assertion = holder.assertion()
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(lambda _: holder.send(assertion), range(8)))
    assert statuses == [200, *[401] * 7]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://other.example.com/"},
        {"aud": ["https://tenant.example.com/", "https://other.example.com/"]},
        {"aud": "https://tenant.example.com"},
        {"aud": "https://tenant.example.com/authorize"},
        {"aud": None},
        {"iss": "somebody"},
        {"sub": "somebody"},
        {"sub": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "soon"},
        {"jti": None},
        {"jti": 5},
        {"nbf": 1 << 40},
    ],
)
def test_an_assertion_must_be_for_here_and_now(holder: KeyHolder, claims: dict[str, Any]) -> None:
    """CVE-2025-27370 and CVE-2025-27371: audience injection."""
    answer = holder.send(holder.assertion(**claims))
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_an_assertion_lives_five_minutes_at_most(holder: KeyHolder) -> None:
    now = holder.installation.clock.now_ms() // 1000
    assert holder.send(holder.assertion(exp=now + 3600)).json() == UNAUTHORIZED


def test_a_strangers_key_proves_nothing(holder: KeyHolder) -> None:
    stranger = RSAKey.import_key(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    assert holder.send(holder.assertion(key=stranger)).json() == UNAUTHORIZED
    embedded = {"jwk": stranger.as_dict(private=False)}
    assert holder.send(holder.assertion(key=stranger, header=embedded)).json() == UNAUTHORIZED


def test_the_public_key_is_no_secret(holder: KeyHolder) -> None:
    """CVE-2022-29217: RS256 taken for HS256."""
    _, claims, _ = holder.assertion().split(".")
    for header in ({"alg": "HS256", "kid": holder.kid}, {"alg": "HS256"}):
        signed = f"{encoded(json.dumps(header).encode())}.{claims}"
        for key in (holder.pem, holder.pem.strip()):
            forged = f"{signed}.{encoded(hmac.digest(key.encode(), signed.encode(), 'sha256'))}"
            assert holder.send(forged).json() == UNAUTHORIZED


def test_an_unsigned_assertion_is_none(holder: KeyHolder) -> None:
    _, claims, signature = holder.assertion().split(".")
    for alg in ("none", "None", "nOnE"):
        header = encoded(f'{{"alg":"{alg}"}}'.encode())
        for last in ("", signature):
            assert holder.send(f"{header}.{claims}.{last}").json() == UNAUTHORIZED


def test_the_secret_is_worth_nothing_once_a_key_is_used(holder: KeyHolder) -> None:
    assert post(holder.app, holder.app.credentials()).json() == UNAUTHORIZED


def test_an_assertion_of_a_client_without_keys_proves_nothing(app: Application, holder: KeyHolder) -> None:
    answer = holder.send(holder.assertion(iss=app.client_id, sub=app.client_id))
    assert answer.json() == UNAUTHORIZED


@pytest.mark.parametrize("kind", [None, "", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"])
def test_the_type_of_the_assertion_must_be_named(holder: KeyHolder, kind: str | None) -> None:
    body = {"client_assertion": holder.assertion(), **({} if kind is None else {"client_assertion_type": kind})}
    assert post(holder.app, body).json()["error"] == "invalid_request"


def test_a_credential_that_has_expired_proves_nothing(installation: Installation) -> None:
    holder = KeyHolder(installation)
    path = f"/clients/{holder.app.client_id}/credentials"
    [known] = holder.app.manage("GET", path)
    holder.app.manage("PATCH", f"{path}/{known['id']}", {"expires_at": "2030-01-01T00:00:00.000Z"})
    assert holder.send(holder.assertion()).status_code == 200

    installation.advance(4 * 366 * 86_400)

    assert holder.send(holder.assertion()).json() == UNAUTHORIZED
