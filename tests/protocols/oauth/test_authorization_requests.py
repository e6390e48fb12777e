"""What an authorization request must be, and where its refusal goes (threats: redirect targets, requests and codes)."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.applications import CALLBACK, Application, make_application
from tests.support.hosted_pages import Page
from tests.support.in_process import Installation


@pytest.fixture(scope="module")
def app(installation: Installation) -> Application:
    return make_application(installation)


def ask(app: Application, suffix: str = "", **params: Any) -> Page:
    return app.browser().open(app.authorize_url(**params) + suffix)


def test_an_unknown_client_stays_on_our_page(app: Application) -> None:
    page = ask(app, client_id="nobody", redirect_uri="https://evil.test/")

    assert page.status == 400
    assert "Oops!, something went wrong" in page.text
    assert "Unknown client: nobody" in page.text
    assert "location" not in page.response.headers


def test_a_wrong_callback_stays_on_our_page(app: Application) -> None:
    page = ask(app, redirect_uri="https://evil.test/")

    assert page.status == 400
    assert "Callback URL mismatch." in page.text
    assert "location" not in page.response.headers


@pytest.mark.parametrize("mode", ["query", "fragment", "form_post", "web_message", "form_post.jwt", "jwt"])
def test_the_callback_is_checked_in_every_response_mode(app: Application, mode: str) -> None:
    page = ask(app, redirect_uri="https://evil.test/", response_mode=mode)

    assert page.status == 400
    assert "Callback URL mismatch." in page.text


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_a_repeated_client_or_callback_stays_on_our_page(app: Application, name: str) -> None:
    value = {"client_id": app.client_id, "redirect_uri": app.callback}[name]
    page = ask(app, f"&{name}={value}")

    assert page.status == 400
    assert "location" not in page.response.headers


@pytest.mark.parametrize("name", ["state", "scope", "response_type", "nonce", "code_challenge", "prompt", "max_age"])
def test_any_other_repeated_parameter_is_an_error_for_the_application(app: Application, name: str) -> None:
    """RFC 6749 section 3.1"""
    page = ask(app, f"&{name}=1", **({} if name in {"state"} else {name: "1"}))

    assert page.url.startswith(f"{CALLBACK}?")
    assert page.query["error"] == "invalid_request"
    assert ("state" in page.query) is (name != "state")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "magic"}, "unsupported_response_type"),
        ({"response_type": "code magic"}, "unsupported_response_type"),
        ({"response_mode": "magic"}, "invalid_request"),
        ({"response_mode": "query.jwt"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "dance"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "9" * 30}, "invalid_request"),
        ({"code_challenge_method": "S512"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": "ä" * 43}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
        ({"request_uri": "https://169.254.169.254/"}, "request_uri_not_supported"),
        ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, "request_uri_not_supported"),
        ({"organization": "org_1234567890123456"}, "invalid_request"),
        ({"invitation": "x"}, "invalid_request"),
        ({"audience": "https://nobody.example.com"}, "access_denied"),
        ({"nonce": "n" * 3000}, "invalid_request"),
        ({"login_hint": "h" * 1000}, "invalid_request"),
        ({"scope": "s" * 5000}, "invalid_request"),
    ],
)
def test_every_other_mistake_is_told_to_the_application(app: Application, params: dict[str, Any], code: str) -> None:
    page = ask(app, state="s-1", **params)

    assert page.url.startswith(f"{CALLBACK}?"), page.text
    assert page.query["error"] == code
    assert page.query["state"] == "s-1"
    assert page.query["error_description"]


@pytest.mark.parametrize("size", [9000, 15_000])
def test_a_huge_state_is_refused_and_not_sent_back(app: Application, size: int) -> None:
    page = ask(app, state="s" * size)

    assert page.query["error"] == "invalid_request"
    assert "state" not in page.query


def test_a_request_of_many_kilobytes_is_too_long(app: Application) -> None:
    assert ask(app, state="s" * 20_000).status == 414


@pytest.mark.parametrize(
    "name", ["auth0Client", "_t", "ext-campaign", "acr_values", "ui_locales", "screen_hint", "unknown"]
)
def test_parameters_that_nobody_knows_are_no_error(app: Application, name: str) -> None:
    page = ask(app, **{name: "odd value=="})

    assert page.path == "/u/login"
    assert page.status == 200


def test_the_first_callback_stands_in_for_a_missing_one(app: Application) -> None:
    page = ask(app, redirect_uri=None, prompt="none")

    assert page.url.startswith(f"{CALLBACK}?")
    assert page.query["error"] == "login_required"


def test_an_application_without_callbacks_must_name_one(installation: Installation) -> None:
    app = make_application(installation, callbacks=[])
    page = ask(app, redirect_uri=None)

    assert page.status == 400
    assert "redirect_uri" in page.text


@pytest.mark.parametrize(
    ("response_type", "missing"),
    [
        ("code", "authorization_code"),
        ("token", "implicit"),
        ("id_token", "implicit"),
        ("code token", "implicit"),
        ("code id_token token", "authorization_code"),
    ],
)
def test_only_response_types_that_the_client_was_granted(
    installation: Installation, response_type: str, missing: str
) -> None:
    grants = [grant for grant in ("authorization_code", "implicit") if grant != missing]
    app = make_application(installation, grant_types=grants)
    page = ask(app, response_type=response_type, nonce="n", prompt="none")

    answer = page.query or page.fragment
    assert answer["error"] == "unauthorized_client"
    assert answer["error_description"] == f"Grant type '{missing}' not allowed for the client."


@pytest.mark.parametrize("response_type", ["token", "id_token", "code id_token", "code token", "code id_token token"])
def test_tokens_never_travel_in_the_query(app: Application, response_type: str) -> None:
    page = ask(app, response_type=response_type, response_mode="query", nonce="n")

    assert page.query == {}
    assert page.fragment["error"] == "invalid_request"


def test_an_id_token_needs_a_nonce_and_openid(app: Application) -> None:
    assert ask(app, response_type="id_token").fragment["error"] == "invalid_request"
    assert ask(app, response_type="id_token", nonce="n", scope="email").fragment["error"] == "invalid_scope"


def test_a_web_message_goes_to_no_origin_that_was_not_registered(installation: Installation) -> None:
    app = make_application(installation, web_origins=["https://other.example.com"])
    page = ask(app, response_mode="web_message", prompt="none")

    assert page.status == 400
    assert "web origins" in page.text
    assert "postMessage" not in page.response.text


def test_form_post_cannot_be_sent_to_an_app_scheme(installation: Installation) -> None:
    app = make_application(installation, app_type="native", callbacks=["com.example.app:/cb"])
    app.callback = "com.example.app:/cb"
    page = ask(app, response_mode="form_post", prompt="none")

    assert page.url.startswith("com.example.app:/cb?")
    assert page.query["error"] == "invalid_request"


@pytest.mark.parametrize(
    "wants", [{"require_pushed_authorization_requests": True}, {"compliance_level": "fapi1_adv_pkj_par"}]
)
def test_clients_that_want_more_safety_than_there_is_get_nothing(
    installation: Installation, wants: dict[str, Any]
) -> None:
    app = make_application(installation, **wants)
    assert ask(app).query["error"] == "invalid_request"


def test_a_client_of_a_fapi_profile_gets_no_tokens(installation: Installation) -> None:
    app = make_application(installation, compliance_level="fapi1_adv_pkj_par")
    assert app.token("client_credentials", audience=app.audience).json()["error"] == "invalid_request"


def test_a_post_is_read_from_its_form_alone(app: Application) -> None:
    url = urlsplit(app.authorize_url(prompt="none", state="posted"))
    with app.http() as http:
        answer = http.post("/authorize", data=dict(parse_qsl(url.query)))
        mixed = http.post(f"/authorize?{url.query}", data={})

    assert answer.status_code in {302, 303}
    assert "error=login_required" in answer.headers["location"]
    assert "state=posted" in answer.headers["location"]
    assert mixed.status_code == 400


def test_the_audience_may_come_as_resource_where_the_tenant_says_so(
    app: Application, installation: Installation
) -> None:
    """RFC 8707"""
    unknown = "https://nobody.example.com"
    assert ask(app, resource=unknown, prompt="none").query["error"] == "login_required"
    with installation.settings(resource_parameter_profile="compatibility"):
        assert ask(app, resource=unknown, prompt="none").query["error"] == "access_denied"


def test_a_tenant_may_name_itself_in_every_answer(app: Application, installation: Installation) -> None:
    """RFC 9207"""
    assert "iss" not in ask(app, prompt="none").query
    with installation.settings(authorization_response_iss_parameter_supported=True):
        assert ask(app, prompt="none").query["iss"] == app.issuer
