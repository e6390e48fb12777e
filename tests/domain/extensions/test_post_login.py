"""The pipeline after a sign-in, with code that really runs."""

from typing import Any

import pytest

from freehold.domain.extensions import RULES, RULES_CONFIGS, claims, rules
from freehold.domain.extensions.post_login import has_code, run_post_login
from tests.domain.extensions.conftest import Extended


async def test_nothing_runs_where_there_is_no_code(extended: Extended) -> None:
    assert not await has_code(extended.services.store, extended.tenant)

    verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

    assert (verdict.executions, verdict.scopes, extended.services.sandbox.workers) == ([], ["openid", "profile"], ())


class TestRules:
    async def rule(self, extended: Extended, body: str, *, name: str = "rule") -> str:
        return await extended.make(RULES, {"name": name, "script": f"function (user, context, callback) {{ {body} }}"})

    async def test_they_run_in_order_and_hand_on_user_and_context(self, extended: Extended) -> None:
        await self.rule(
            extended, "user.seen = 1; context.idToken['https://x.example/a'] = user.plan; callback(null, user, context)"
        )
        await self.rule(
            extended, "context.idToken['https://x.example/b'] = user.seen + 1; callback(null, user, context)", name="b"
        )

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert verdict.id_token == {"https://x.example/a": "free", "https://x.example/b": 2}
        assert [result["action_name"] for result in verdict.executions[0].results] == ["rule", "b"]

    async def test_async_rules_and_scopes_and_mfa(self, extended: Extended) -> None:
        await extended.make(
            RULES,
            {
                "name": "r",
                "script": """async function (user, context, callback) {
            await new Promise((done) => setTimeout(done, 5));
            context.accessToken.scope = ['openid'];
            context.accessToken['https://x.example/c'] = context.stats.loginsCount;
            context.multifactor = { provider: 'any', allowRememberBrowser: false };
            return callback(null, user, context);
        }""",
            },
        )

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts(logins_count=7))

        assert (verdict.scopes, verdict.access_token) == (["openid"], {"https://x.example/c": 7})
        assert verdict.multifactor == {"provider": "any", "allowRememberBrowser": False}

    @pytest.mark.parametrize(
        ("thrown", "denied"),
        [
            ("callback(new UnauthorizedError('Not on Sundays'))", ("unauthorized", "Not on Sundays")),
            ("callback(new Error('broken'))", ("access_denied", "broken")),
            ("throw new TypeError('thrown')", ("access_denied", "thrown")),
        ],
    )
    async def test_an_error_ends_the_sign_in(self, extended: Extended, thrown: str, denied: tuple[str, str]) -> None:
        await self.rule(extended, thrown)
        await self.rule(extended, "context.idToken['https://x.example/a'] = 1; callback(null, user, context)", name="b")

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert (verdict.denied, len(verdict.rules)) == (denied, 1)

    async def test_each_is_recorded_with_what_it_was_given_although_one_call_runs_them(
        self, extended: Extended
    ) -> None:
        for name in ("a", "b"):
            await self.rule(
                extended, f"console.log('{name}'); user.at = '{name}'; callback(null, user, context)", name=name
            )
        await self.rule(extended, "console.log('c'); throw new Error('broken')", name="c")
        await self.rule(extended, "callback(null, user, context)", name="d")

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        execution = verdict.executions[0]
        assert [worker.calls_made for worker in extended.services.sandbox.workers if worker.tenant] == [1]
        assert (execution.status, len(verdict.rules)) == ("partial", 3)
        assert [
            (result["action_name"], result["given"][0].get("at"), [line["text"] for line in result["logs"]])
            for result in execution.results
        ] == [("a", None, ["a"]), ("b", "a", ["b"]), ("c", "b", ["c"])]
        assert ["error" in result for result in execution.results] == [False, False, True]
        assert [result["given"][2]["domain"] for result in execution.results] == [extended.tenant.domain] * 3
        times = [(result["started_at"], result["ended_at"]) for result in execution.results]
        assert sorted(times) == times

    async def test_configuration_is_theirs_and_masked_in_what_is_kept(self, extended: Extended) -> None:
        await extended.make(RULES_CONFIGS, {"value": "very-secret"}, server={"key": "KEY"})
        await self.rule(
            extended,
            "console.log(configuration.KEY); "
            "context.idToken['https://x.example/k'] = configuration.KEY; callback(null, user, context)",
        )

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert verdict.id_token == {"https://x.example/k": "very-secret"}
        assert "very-secret" not in str(verdict.executions[0].results)
        assert verdict.executions[0].results[0]["logs"] == [{"level": "log", "text": "[secret]"}]

    async def test_the_restricted_client_asks_the_server(self, extended: Extended) -> None:
        asked: list[Any] = []

        async def update(given: Any) -> Any:
            asked.append(given)
            return {"app_metadata": given[1]}

        await self.rule(
            extended,
            """auth0.users.updateAppMetadata(user.user_id, { seen: true })
            .then((got) => {
              context.idToken['https://x.example/m'] = got.app_metadata.seen;
              callback(null, user, context);
            })
            .catch(callback)""",
        )

        verdict = await run_post_login(
            extended.services, extended.tenant, extended.facts(), ask={"auth0.users.updateAppMetadata": update}
        )

        assert (asked, verdict.id_token) == ([["auth0|ada", {"seen": True}]], {"https://x.example/m": True})

    async def test_a_redirect_lets_the_others_finish_and_all_run_again(self, extended: Extended) -> None:
        await self.rule(
            extended,
            """
            if (context.protocol !== 'redirect-callback') context.redirect = { url: 'https://else.example/?a=1' };
            callback(null, user, context)""",
        )
        await self.rule(
            extended,
            "context.idToken['https://x.example/p'] = context.protocol; callback(null, user, context)",
            name="b",
        )

        sent = await run_post_login(extended.services, extended.tenant, extended.facts())
        assert (sent.redirect, len(sent.rules)) == ("https://else.example/?a=1&state=the-state", 2)
        back = await run_post_login(extended.services, extended.tenant, extended.facts(), came_back=True)
        assert (back.redirect, back.id_token) == (None, {"https://x.example/p": "redirect-callback"})
        silent = await run_post_login(extended.services, extended.tenant, extended.facts(can_redirect=False))
        assert silent.denied is not None
        assert silent.denied[0] == "interaction_required"

    async def test_a_disabled_rule_does_not_run(self, extended: Extended) -> None:
        await extended.make(RULES, {"name": "r", "script": "x", "enabled": False})

        assert await rules.rules_in_order(extended.services.store, extended.tenant) == []


class TestActions:
    async def test_what_an_action_asks_for(self, extended: Extended) -> None:
        await extended.action("""exports.onExecutePostLogin = async (event, api) => {
            api.idToken.setCustomClaim('https://x.example/who', event.user.email);
            api.accessToken.setCustomClaim('https://x.example/roles', event.authorization.roles);
            api.accessToken.addScope('more');
            api.accessToken.removeScope('profile');
            api.user.setAppMetadata('plan', 'paid');
            api.user.setUserMetadata('colour', null);
            api.multifactor.enable('any', { allowRememberBrowser: false });
        }""")

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts(roles=["admin"]))

        assert verdict.denied is None
        assert verdict.id_token == {"https://x.example/who": "ada@example.com"}
        assert verdict.access_token == {"https://x.example/roles": ["admin"]}
        assert (verdict.scopes, verdict.app_metadata, verdict.user_metadata) == (
            ["openid", "more"],
            {"plan": "paid"},
            {"colour": None},
        )
        assert verdict.multifactor == {"provider": "any", "allowRememberBrowser": False}

    @pytest.mark.parametrize("call", ["challengeWith({ type: 'otp' })", "enrollWithAny([{ type: 'otp' }])"])
    async def test_asking_for_any_factor_asks_for_a_second_one(self, extended: Extended, call: str) -> None:
        await extended.action(f"exports.onExecutePostLogin = async (event, api) => {{ api.authentication.{call}; }}")

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert verdict.multifactor == {"provider": "any", "allowRememberBrowser": False}

    @pytest.mark.parametrize("what", ["session", "refreshToken"])
    async def test_what_is_revoked_does_not_go_on(self, extended: Extended, what: str) -> None:
        await extended.action(f"exports.onExecutePostLogin = async (event, api) => {{ api.{what}.revoke('Stolen.'); }}")

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert verdict.denied == ("access_denied", "Stolen.")

    async def test_later_actions_see_what_earlier_ones_changed(self, extended: Extended) -> None:
        await extended.action(
            "exports.onExecutePostLogin = async (event, api) => { api.user.setAppMetadata('plan', 'paid'); }"
        )
        await extended.action(
            "exports.onExecutePostLogin = async (e, api) => { "
            "api.idToken.setCustomClaim('plan', e.user.app_metadata.plan); }"
        )

        assert (await run_post_login(extended.services, extended.tenant, extended.facts())).id_token == {"plan": "paid"}

    async def test_deny_ends_the_flow_and_keeps_the_rest_of_that_action(self, extended: Extended) -> None:
        await extended.action("""exports.onExecutePostLogin = async (event, api) => {
            api.access.deny('Not today'); api.user.setAppMetadata('tries', 1); }""")
        await extended.action(
            "exports.onExecutePostLogin = async (event, api) => { api.user.setAppMetadata('later', 1); }"
        )

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert (verdict.denied, verdict.app_metadata) == (("access_denied", "Not today"), {"tries": 1})

    async def test_secrets_are_of_the_version_and_masked_in_what_is_kept(self, extended: Extended) -> None:
        await extended.action(
            "exports.onExecutePostLogin = async (event, api) => { "
            "api.idToken.setCustomClaim('k', event.secrets.KEY); }",
            secrets=[{"name": "KEY", "value": "very-secret"}],
        )

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert verdict.id_token == {"k": "very-secret"}
        assert "very-secret" not in str(verdict.executions[0].results)

    async def test_a_redirect_suspends_and_goes_on_in_the_same_action(self, extended: Extended) -> None:
        await extended.action(
            "exports.onExecutePostLogin = async (e, api) => { api.idToken.setCustomClaim('first', 1); }"
        )
        await extended.action("""
            exports.onExecutePostLogin = async (event, api) => {
              const token = api.redirect.encodeToken({ secret: 'hush-hush', payload: { step: 1 } });
              api.redirect.sendUserTo('https://else.example/go', { query: { session_token: token } });
            };
            exports.onContinuePostLogin = async (event, api) => {
              const payload = api.redirect.validateToken({ secret: 'hush-hush' });
              api.idToken.setCustomClaim('step', payload.step);
            };""")
        await extended.action(
            "exports.onExecutePostLogin = async (e, api) => { api.idToken.setCustomClaim('last', 1); }"
        )

        sent = await run_post_login(extended.services, extended.tenant, extended.facts())
        assert sent.redirect is not None
        address, _, token = sent.redirect.partition("?session_token=")
        token, _, state = token.partition("&")
        assert (address, state, sent.resume_at) == ("https://else.example/go", "state=the-state", 1)

        back = extended.facts()
        back.request["query"] = {"session_token": token, "state": "the-state"}
        done = await run_post_login(extended.services, extended.tenant, back, verdict=sent, resume_at=sent.resume_at)
        assert (done.denied, done.redirect) == (None, None)
        assert done.id_token == {"first": 1, "step": 1, "last": 1}

    @pytest.mark.parametrize("change", ["token.slice(0, -2)", "token + 'x'", "''", "'a.b.c'"])
    async def test_a_forged_session_token_is_refused(self, extended: Extended, change: str) -> None:
        await extended.action(f"""exports.onExecutePostLogin = async (event, api) => {{
            const token = api.redirect.encodeToken({{ secret: 'hush' }});
            event.request.query.session_token = {change};
            try {{ api.redirect.validateToken({{ secret: 'hush' }}); api.idToken.setCustomClaim('r', 'accepted'); }}
            catch (error) {{ api.idToken.setCustomClaim('r', 'refused'); }} }}""")

        assert (await run_post_login(extended.services, extended.tenant, extended.facts())).id_token == {"r": "refused"}

    @pytest.mark.parametrize(
        "code",
        [
            "exports.onExecutePostLogin = async () => { throw new Error('no'); }",
            "exports.onExecutePostLogin = async (e, api) => { api.idToken.setCustomClaim(7, 1); }",
            "exports.onExecutePostLogin = async (e, api) => { api.redirect.sendUserTo('javascript:alert(1)'); }",
            "exports.onExecutePostLogin = async (e, api) => { api.accessToken.addScope('two scopes'); }",
            "exports.onExecutePostLogin = async (e, api) => { for (let i = 0; i < "
            "5000; i++) api.accessToken.addScope('s' + i); }",
            "exports.somethingElse = 1",
            "this does not compile",
        ],
    )
    async def test_an_action_that_fails_ends_the_sign_in(self, extended: Extended, code: str) -> None:
        await extended.action(code)

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert verdict.denied is not None
        assert verdict.denied[0] == "access_denied"
        assert "error" in verdict.executions[0].results[0]
        assert (verdict.id_token, verdict.redirect) == ({}, None)

    async def test_the_cache_is_the_trigger_s(self, extended: Extended) -> None:
        await extended.action("""exports.onExecutePostLogin = async (event, api) => {
            const known = api.cache.get('n');
            const set = api.cache.set('n', String((known ? Number(known.value) : 0) + 1), { ttl: 60000 });
            api.idToken.setCustomClaim('n', api.cache.get('n').value);
            api.idToken.setCustomClaim('ok', set.type + api.cache.set('k'.repeat(65), 'v').type); }""")

        seen = [(await run_post_login(extended.services, extended.tenant, extended.facts())).id_token for _ in range(2)]

        assert seen == [{"n": "1", "ok": "successerror"}, {"n": "2", "ok": "successerror"}]

    async def test_metadata_of_the_transaction_can_be_read_at_once_and_by_later_actions(
        self, extended: Extended
    ) -> None:
        await extended.action(
            """exports.onExecutePostLogin = async (event, api) => {
            api.transaction.setMetadata('step', 1);
            api.idToken.setCustomClaim('first', event.transaction.metadata.step); };"""
        )
        await extended.action(
            """exports.onExecutePostLogin = async (event, api) => {
            api.idToken.setCustomClaim('second', event.transaction.metadata.step); };""",
            name="second",
        )

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert verdict.id_token == {"first": 1, "second": 1}

    async def test_what_is_said_of_a_saml_response_changes_nothing_where_there_is_none(
        self, extended: Extended
    ) -> None:
        await extended.action(
            """exports.onExecutePostLogin = async (event, api) => {
            api.samlResponse.setAttribute('a', 'b'); api.idToken.setCustomClaim('went', 'on'); };"""
        )

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert (verdict.id_token, verdict.denied) == ({"went": "on"}, None)

    async def test_a_form_is_not_passed_over(self, extended: Extended) -> None:
        await extended.action("exports.onExecutePostLogin = async (event, api) => { api.prompt.render('ap_1'); };")

        verdict = await run_post_login(extended.services, extended.tenant, extended.facts())

        assert verdict.denied is not None
        assert verdict.executions[0].results[0]["error"]["msg"] == (
            "prompt.render needs a form, and there are no forms here"
        )

    async def test_rules_come_first_and_actions_know_which_ran(self, extended: Extended) -> None:
        rule = await extended.make(
            RULES, {"name": "r", "script": "function (user, context, cb) { cb(null, user, context); }"}
        )
        await extended.action(
            f"exports.onExecutePostLogin = async (e, api) => {{ "
            f"api.idToken.setCustomClaim('ran', [api.rules.wasExecuted('{rule}'), api.rules.wasExecuted('x')]); }}"
        )

        assert (await run_post_login(extended.services, extended.tenant, extended.facts())).id_token == {
            "ran": [True, False]
        }


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("https://acme.example/claim", True), ("urn:acme:claim", True), ("plan", True), ("email", True),
        ("https://acme.auth0.com/claim", False), ("https://webtask.io/x", False), ("urn:auth0:x", False),
        ("sub", False), ("aud", False), ("permissions", False), ("sip_x", False), ("scope", False), ("exp", False),
        ("http://", False),
    ],
)  # fmt: skip
def test_which_claims_code_may_set(name: str, kept: bool) -> None:
    assert bool(claims.allowed({name: 1})) is kept
    assert bool(claims.allowed({name: 1}, only_namespaced=True)) is (kept and claims.is_namespaced(name))
    assert claims.allowed({name: "x" * 200_000}) == {}
