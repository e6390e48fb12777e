"""Published actions, unmodified: the marketplace's templates, and every example that a page of the documentation shows.

Each runs with an event of its trigger that has every documented member. What an example needs that is not here is
listed with the reason, one by one.
"""

import json
import re
from typing import Any

import pytest

from freehold.domain.extensions import npm
from freehold.domain.extensions.commands import METHODS, BadCommand, checked
from freehold.domain.extensions.sandbox import Script, required_versions
from tests.domain.extensions.conftest import Extended
from tests.domain.extensions.events import event_of
from tests.domain.extensions.gallery import LACKING, Example, Table, examples
from tests.domain.extensions.outside import Asked, Outside

pytestmark = [pytest.mark.gallery, pytest.mark.asyncio(loop_scope="module")]

# Examples that do not come to their end, and why.
_TYPES = "it is TypeScript, which has to be compiled first, at Auth0 as well"
_NO_CODE = "the block holds more than the code: a request, Terraform, or what a command printed"
_WRONG = "it is no JavaScript: a brace is missing, or a name has a dot in it"
_PARTS = "it calls functions that the reader is to write"
_FORM = "it renders a form; there are no forms here, which is what the tenant's log says"
_EXCHANGE = "actions/reference/custom-token-exchange/custom-token-exchange-api-object"
_PHONE = "customize/phone-messages"
EXPLAINED: dict[str, str] = {
    **{f"customize/actions/{page}": _TYPES for page in ("actions-npm-3", "actions-npm-5", "actions-unit-test-2")},
    "authenticate/custom-token-exchange/cte-example-use-cases-4": _NO_CODE,
    "authenticate/enterprise-connections/session-expiry-enterprise-connections-2": _NO_CODE,
    "customize/email/smtp-email-providers/custom/configure-action-1": _NO_CODE,
    f"{_PHONE}/configure-phone-messaging-providers/configure-a-custom-phone-provider/"
    "configure-a-custom-phone-provider-with-terraform-1": _NO_CODE,
    "manage-users/sessions/configure-keep-me-signed-in-sessions-2": _NO_CODE,
    "manage-users/sessions/configure-keep-me-signed-in-sessions-3": "it says `nonpersistent`, which is no mode",
    "customize/actions/migrate/migrate-from-rules-to-actions-11": _WRONG,
    "secure/multi-factor-authentication/configure-cisco-duo-for-mfa-2": _WRONG,
    "secure/multi-factor-authentication/step-up-authentication/configure-step-up-authentication-for-apis-1": _WRONG,
    **{f"{_EXCHANGE}-{number}": _PARTS for number in range(1, 10)},
    "customize/events/correlate-identity-changes-1": _PARTS,
    "customize/events/sync-data-across-systems-1": _PARTS,
    f"{_PHONE}/unified-phone/unified-phone-experience-passwordless-1": "it requires a placeholder for a package",
    "manage-users/user-accounts/change-user-picture-2": _PARTS,
    **{f"secure/tokens/refresh-tokens/refresh-token-metadata/use-cases-{number}": _PARTS for number in (1, 2)},
    **{
        f"troubleshoot/product-lifecycle/past-migrations/custom-claims-migration-{number}": _PARTS
        for number in (2, 3, 4)
    },
    **{f"customize/forms/render-{number}": _FORM for number in range(1, 6)},
    "customize/forms/configure-additional-signup-steps-1": _FORM,
    "customize/forms/configure-update-policy-form-1": _FORM,
    "customize/actions/transaction-metadata-12": _FORM,
    "customize/actions/transaction-metadata-13": _FORM,
}  # fmt: skip
# The examples name no version. They were written for these.
OF_THEIR_TIME = {"auth0": "^4.0.0"}


@pytest.mark.parametrize("example", examples(), ids=str)
async def test_an_action_runs(gallery: Extended, outside: Outside, example: Example, report: Table) -> None:
    row = report.of(example)
    outside.web = service
    packages = packages_of(example)
    modules = await npm.installed(gallery.services, gallery.tenant, packages)
    script = Script(example.name, "1", example.code, kind="action", modules=modules)
    secrets = {name: secret(name) for name in sorted(set(re.findall(r"\bsecrets\.(\w+)", example.code)))}
    around = {"trigger": example.trigger, "methods": METHODS.get(example.trigger, ()), "can_redirect": True,
              "rules": [], "domain": gallery.tenant.domain, "state": "the-state"}  # fmt: skip
    ended = []
    for handler in dict.fromkeys(re.findall(r"^\s*exports\.(on\w+)\s*=", example.code, re.MULTILINE)):
        given = [event_of(example.trigger), around]
        outcome = await gallery.services.sandbox.call(gallery.tenant.id, script, handler, given, secrets=secrets)
        if outcome.error is not None:
            ended.append(f"{outcome.error.kind}: {outcome.error.type}: {outcome.error.message}")
            continue
        try:
            commands = checked(example.trigger, outcome.value) if example.trigger in METHODS else []
            ended.append(", ".join(f"{name}({json.dumps(given)[1:-1]})" for name, given in commands) or "yes")
        except BadCommand as error:
            ended.append(f"command: {error}")

    row.ran = "; ".join(ended)[:300] or "no function"
    if example.name not in EXPLAINED:
        assert ended
        assert not [
            each for each in ended if LACKING.search(each) or each.startswith(("load:", "timeout:", "command:"))
        ]
        assert not [each for each in ended if each.startswith("script: SyntaxError")]


def packages_of(example: Example) -> list[tuple[str, str]]:
    """The dependencies that whoever creates the action gives it."""
    named = dict(required_versions(example.code))
    wanted = example.dependencies or [
        (name, named.get(name, "latest")) for name, _ in npm.packages_in(example.code)
    ]  # fmt: skip
    return [(name, OF_THEIR_TIME.get(name, version) if version == "latest" else version) for name, version in wanted]


async def test_few_examples_do_not_run() -> None:
    assert len(examples()) >= 300
    assert {example.name for example in examples()} >= set(EXPLAINED)


def secret(name: str) -> str:
    """A value that will do for a secret of this name."""
    if "LIST" in name or name.startswith("ALLOWED"):
        return '["https://api.example.com"]'
    return "https://service.example.com/path" if re.search("URL|DOMAIN|ENDPOINT", name) else f"the value of {name}"


def service(asked: Asked) -> tuple[int, Any]:
    """Whatever is asked for: tokens at once, and otherwise agreement."""
    return 200, {
        "access_token": "a-token",
        "token_type": "Bearer",
        "expires_in": 86400,
    } if "token" in asked.path else {}
