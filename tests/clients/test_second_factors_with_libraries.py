"""auth0-python and Authlib where a second factor is asked for: only the domain is another."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from auth0.authentication import GetToken
from auth0.authentication.exceptions import Auth0Error
from auth0.management import ManagementClient
from auth0.management.core import ApiError
from authlib.integrations.httpx_client import OAuth2Client

from tests.support.applications import Application, make_application, read_claims
from tests.support.second_factors import App
from tests.support.server import LiveServer

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
OTP = "http://auth0.com/oauth/grant-type/mfa-otp"


@pytest.fixture
def app(tenant: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Application:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", tenant.ca_file)
    return make_application(tenant)


@pytest.fixture
def management(tenant: LiveServer) -> Iterator[ManagementClient]:
    with httpx.Client(verify=ssl.create_default_context(cafile=tenant.ca_file)) as http:
        yield ManagementClient(
            domain=urlsplit(tenant.base_url).netloc, token=tenant.management_token(), httpx_client=http
        )


def known(app: Application) -> tuple[str, str, str]:
    assert app.client_secret is not None
    return urlsplit(app.issuer).netloc, app.client_id, app.client_secret


def test_auth0_python_sets_factors_policies_and_methods(app: Application, management: ManagementClient) -> None:
    ada = app.add_user()
    assert management.guardian.factors.set("otp", enabled=True).enabled
    assert {one.name for one in management.guardian.factors.list() if one.enabled} == {"otp"}
    assert management.guardian.policies.set(request=["all-applications"]) == ["all-applications"]
    assert management.guardian.policies.list() == ["all-applications"]
    ticket = management.guardian.enrollments.create_ticket(user_id=ada.user_id, factor="otp")
    assert ticket.ticket_url == f"{app.issuer}u/mfa-enrollment?ticket={ticket.ticket_id}"

    methods = management.users.authentication_methods
    made = methods.create(ada.user_id, type="totp", name="Phone", totp_secret=SECRET)
    assert made.totp_secret is None
    assert [one.type for one in methods.list(ada.user_id)] == ["totp"]
    assert methods.get(ada.user_id, made.id or "").name == "Phone"
    assert methods.update(ada.user_id, made.id or "", name="Tablet").name == "Tablet"
    assert [one.auth_method for one in management.users.enrollments.get(ada.user_id)] == ["authenticator"]
    management.users.multifactor.invalidate_remember_browser(ada.user_id)
    assert len(management.users.regenerate_recovery_code(ada.user_id).recovery_code or "") == 24
    methods.delete(ada.user_id, made.id or "")
    management.users.authenticators.delete_all(ada.user_id)
    with pytest.raises(ApiError) as refusal:
        methods.get(ada.user_id, made.id or "")
    assert refusal.value.status_code == 404


def test_the_password_of_auth0_python_leads_to_the_code_of_authlib(
    tenant: LiveServer, app: Application, management: ManagementClient
) -> None:
    ada, held = app.add_user(), App(SECRET)
    management.guardian.factors.set("otp", enabled=True)
    management.guardian.policies.set(request=["all-applications"])
    management.users.authentication_methods.create(ada.user_id, type="totp", totp_secret=SECRET)

    with pytest.raises(Auth0Error) as refusal:
        GetToken(*known(app)).login(username=ada.email, password=ada.password, realm=app.connection, scope="openid")
    assert (refusal.value.status_code, refusal.value.error_code) == (403, "mfa_required")
    body: Any = refusal.value.content
    domain, client_id, secret = known(app)
    context = ssl.create_default_context(cafile=tenant.ca_file)
    with OAuth2Client(client_id, secret, token_endpoint_auth_method="client_secret_post", verify=context) as oauth:
        tokens = oauth.fetch_token(
            f"https://{domain}/oauth/token", grant_type=OTP, mfa_token=body["mfa_token"],
            otp=held.code(datetime.now(UTC)),
        )  # fmt: skip
    assert read_claims(tokens["id_token"])["amr"] == ["mfa"]
