"""Hooks and actions outside of a sign-in, with code that really runs."""

from typing import Any

import msgspec
import pytest

from freehold.domain.extensions import HOOK_SECRETS, HOOKS
from freehold.domain.extensions.hooks import HookTrigger
from freehold.domain.extensions.points import has_code, run_credentials_exchange, run_pre_registration
from tests.domain.extensions.conftest import Extended

CLIENT = {"client_id": "app", "name": "App", "metadata": {"tier": "gold"}}
CONNECTION = {"id": "con_1", "name": "db", "strategy": "auth0"}
REQUEST = {"ip": "192.0.2.1", "language": "de"}
EXCHANGE: HookTrigger = "credentials-exchange"
REGISTER: HookTrigger = "pre-user-registration"


async def hook(extended: Extended, trigger: HookTrigger, body: str) -> str:
    script = f"module.exports = function ({_ARGUMENTS[trigger]}) {{ {body} }};"
    return await extended.make(HOOKS, {"name": "a hook", "script": script, "triggerId": trigger, "enabled": True})


_ARGUMENTS = {EXCHANGE: "client, scope, audience, context, cb", REGISTER: "user, context, cb"}


async def exchange(extended: Extended) -> Any:
    return await run_credentials_exchange(
        extended.services, extended.tenant, client=CLIENT, audience="urn:api", scopes=["read", "write"], request=REQUEST
    )


async def register(extended: Extended) -> Any:
    return await run_pre_registration(
        extended.services, extended.tenant, user={"email": "ada@example.com"}, password="correct horse battery",
        connection=CONNECTION, client=CLIENT, request=REQUEST,
    )  # fmt: skip


class TestCredentialsExchange:
    async def test_nothing_changes_without_code(self, extended: Extended) -> None:
        assert not await has_code(extended.services.store, extended.tenant, EXCHANGE)

        assert msgspec.to_builtins(await exchange(extended)) == {
            "scopes": ["read", "write"], "claims": {}, "denied": None, "executions": [],
        }  # fmt: skip

    async def test_a_hook_comes_first_and_an_action_goes_on_from_there(self, extended: Extended) -> None:
        hook_id = await hook(
            extended,
            EXCHANGE,
            """
            const told = client.metadata.tier + context.webtask.secrets.K;
            cb(null, { scope: scope.concat('extra'), 'https://x.example/t': told });
        """,
        )
        await extended.make(HOOK_SECRETS, {"name": "K", "value": "very-secret"}, parent=hook_id)
        await extended.action(
            """exports.onExecuteCredentialsExchange = async (event, api) => {
            api.accessToken.setCustomClaim('https://x.example/s', event.accessToken.scope.length);
            api.transaction.removeTargetScope('write'); };""",
            trigger=EXCHANGE,
        )

        found = await exchange(extended)

        assert found.scopes == ["read", "extra"]
        assert found.claims == {"https://x.example/t": "goldvery-secret", "https://x.example/s": 3}
        assert "very-secret" not in str([execution.results for execution in found.executions])

    @pytest.mark.parametrize(
        ("body", "denied"),
        [
            ("cb(new InvalidScopeError('no scope'))", ("invalid_scope", "no scope")),
            ("cb(new InvalidRequestError('no request'))", ("invalid_request", "no request")),
            ("cb(new ServerError('no server'))", ("server_error", "no server")),
            ("throw new Error('oops')", ("server_error", "oops")),
        ],
    )
    async def test_a_hook_refuses_by_the_name_of_its_error(
        self, extended: Extended, body: str, denied: tuple[str, str]
    ) -> None:
        await hook(extended, EXCHANGE, body)

        assert (await exchange(extended)).denied == denied

    async def test_an_action_refuses_with_a_code(self, extended: Extended) -> None:
        await extended.action(
            "exports.onExecuteCredentialsExchange = async (e, api) => { api.access.deny('invalid_scope', 'No.'); }",
            trigger=EXCHANGE,
        )

        assert (await exchange(extended)).denied == ("invalid_scope", "No.")


class TestRegistration:
    async def test_code_sets_metadata(self, extended: Extended) -> None:
        await hook(extended, REGISTER, "cb(null, { user: { app_metadata: { length: user.password.length } } });")
        await extended.action(
            "exports.onExecutePreUserRegistration = async (e, a) => { a.user.setUserMetadata('ip', e.request.ip); }",
            trigger=REGISTER,
        )

        found = await register(extended)

        assert (found.app_metadata, found.user_metadata, found.denied) == ({"length": 21}, {"ip": "192.0.2.1"}, None)

    async def test_the_password_is_in_no_record(self, extended: Extended) -> None:
        await hook(extended, REGISTER, "cb(null, { user });")

        found = await register(extended)

        assert "correct horse" not in str([execution.results for execution in found.executions])

    async def test_the_person_is_told_what_code_says_for_them(self, extended: Extended) -> None:
        await hook(extended, REGISTER, "cb(new PreUserRegistrationError('blocked domain', 'Use your work address.'));")

        assert (await register(extended)).denied == ("blocked domain", "Use your work address.")

    async def test_an_action_denies(self, extended: Extended) -> None:
        await extended.action(
            "exports.onExecutePreUserRegistration = async (e, api) => { api.access.deny('no_reason', 'Not here.'); }",
            trigger=REGISTER,
        )

        assert (await register(extended)).denied == ("no_reason", "Not here.")

    async def test_code_that_fails_lets_nobody_in(self, extended: Extended) -> None:
        await extended.action(
            "exports.onExecutePreUserRegistration = async () => { undefinedName(); }", trigger=REGISTER
        )

        assert (await register(extended)).denied is not None
