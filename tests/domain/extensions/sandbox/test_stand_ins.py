"""What stands for packages that npm does not have any more, as scripts see it."""

# ruff: noqa: E501 - a line of JavaScript is one line

from typing import Any

import pytest

from freehold.domain.extensions import npm
from freehold.domain.extensions.sandbox import Outcome, Sandbox, Script

REDIRECT = "const { Auth0RedirectRuleUtilities } = require('@auth0/rule-utilities@0.1.0'); const utilities = new Auth0RedirectRuleUtilities(user, context, { SESSION_TOKEN_SECRET: 'very secret' });"


async def in_a_rule(sandbox: Sandbox, body: str, **context: Any) -> Outcome:
    rule = f"async (user, context, callback) => {{ {REDIRECT} {body} callback(null, user, context); }}"
    given = {"protocol": "oidc-basic-profile", "request": {"hostname": "acme.test", "query": {}}, **context}
    return await sandbox.call(
        "acme", Script("r", body, rule, kind="rule"), "", [{"user_id": "auth0|ada"}, given, {"domain": "acme.test"}],
        answers={"auth0.users.updateAppMetadata": keep},
    )  # fmt: skip


async def keep(given: Any) -> Any:
    kept.append(given)
    return {}


kept: list[Any] = []


def test_nobody_asks_npm_for_it() -> None:
    assert npm.packages_in("require('@auth0/rule-utilities@0.2.0'); require('axios@1.0.0')") == (("axios", "1.0.0"),)


async def test_a_rule_sends_the_user_away_with_a_token_and_takes_it_back(sandbox: Sandbox) -> None:
    away = await in_a_rule(
        sandbox, "utilities.doRedirect('https://forms.example/?a=1', utilities.createSessionToken({ other: 5 }));"
    )
    url = away.value[1]["redirect"]["url"]
    assert url.startswith("https://forms.example/?a=1&session_token=")
    token = url.rpartition("=")[2]
    back: dict[str, Any] = {"protocol": "redirect-callback", "request": {"query": {"session_token": token}}}

    claims = await in_a_rule(
        sandbox, "user.claims = [utilities.isRedirectCallback, utilities.validateSessionToken()];", **back
    )

    returned, content = claims.value[0]["claims"]
    assert (returned, content["other"], content["sub"], content["iss"]) == (True, 5, "auth0|ada", "acme.test")


@pytest.mark.parametrize("token", ["", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhdXRoMHxhZGEifQ."])
async def test_a_token_of_somebody_elses_making_is_refused(sandbox: Sandbox, token: str) -> None:
    refused = await in_a_rule(
        sandbox,
        "utilities.validateSessionToken();",
        protocol="redirect-callback",
        request={"query": {"session_token": token}},
    )

    assert refused.error is not None
    assert refused.error.message == "The session token is invalid"


@pytest.mark.parametrize(
    "context",
    [
        {"protocol": "oauth2-refresh-token"}, {"protocol": "oauth2-password"}, {"protocol": "redirect-callback"},
        {"request": {"query": {"prompt": "none"}}}, {"redirect": {"url": "https://first.example"}},
    ],
)  # fmt: skip
async def test_nobody_is_sent_away_where_that_cannot_be(sandbox: Sandbox, context: dict[str, Any]) -> None:
    refused = await in_a_rule(sandbox, "utilities.doRedirect('https://forms.example');", **context)

    assert refused.error is not None
    assert refused.error.message == "The user cannot be sent to another page now"


async def test_metadata_is_kept_under_a_name_of_its_own(sandbox: Sandbox) -> None:
    kept.clear()
    body = """const { Auth0UserUpdateUtilities } = require('@auth0/rule-utilities@0.2.0');
        const mine = new Auth0UserUpdateUtilities(user, auth0, 'shop');
        mine.setAppMeta('size', 'L'); await mine.updateAppMeta(); user.read = mine.getAppMeta('size');"""

    outcome = await in_a_rule(sandbox, body)

    assert (outcome.value[0]["read"], kept) == ("L", [["auth0|ada", {"shop": {"size": "L"}}]])
