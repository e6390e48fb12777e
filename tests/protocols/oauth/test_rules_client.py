"""A rule calls the Management API with `auth0.accessToken`, and links accounts while somebody signs in.

The server listens on this machine, so that the operator has to allow scripts its address.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.applications import Application, make_application, read_claims
from tests.support.server import LiveServer, start_server

CALL = """
const call = (method, path, body) => new Promise((keep, fail) => {
    const url = new URL(auth0.baseUrl + path);
    const request = require('https').request(url, { method, ca: configuration.CA, headers: {
        authorization: 'Bearer ' + auth0.accessToken, 'content-type': 'application/json' } }, (answer) => {
        let text = '';
        answer.on('data', (part) => { text += part; });
        answer.on('end', () => keep({ status: answer.statusCode, body: text && JSON.parse(text) }));
    });
    request.on('error', fail);
    request.end(body === undefined ? undefined : JSON.stringify(body));
});"""
LINK = """async function (user, context, callback) { %s
    try {
        const found = await call('GET', '/users-by-email?email=' + encodeURIComponent(user.user_metadata.main));
        const clients = await call('GET', '/clients');
        const [provider, id] = user.user_id.split('|');
        const main = found.body[0].user_id;
        const path = '/users/' + encodeURIComponent(main) + '/identities';
        const linked = await call('POST', path, { provider, user_id: id });
        context.primaryUser = main;
        context.idToken['https://x.example/statuses'] = [found.status, clients.status, linked.status];
        callback(null, user, context);
    } catch (error) { callback(error); }
}"""


@pytest.fixture(scope="module")
def server_of_rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder: Path = tmp_path_factory.mktemp("rules")
    env = {"FREEHOLD_SANDBOX_OUTBOUND_ALLOW": f"localhost:{port}"}
    with start_server(folder / "data", "--port", str(port), env=env) as live:
        yield live


@pytest.fixture
def app(server_of_rules: LiveServer) -> Application:
    return make_application(server_of_rules)


def test_accounts_are_linked_while_somebody_signs_in_who_goes_on_as_the_primary_user(
    app: Application, server_of_rules: LiveServer
) -> None:
    main = app.add_user()
    other = app.add_user(user_metadata={"main": main.email})
    app.manage("PUT", "/rules-configs/CA", {"value": Path(server_of_rules.ca_file).read_text()})
    rule = app.manage("POST", "/rules", {"name": "Link", "script": LINK % CALL})

    browser = app.browser()
    page = app.sign_in(other, browser=browser, scope="openid offline_access", audience=app.audience)
    assert "code" in page.query, page.query
    tokens = app.redeem(page).json()

    claims = read_claims(tokens["id_token"])
    assert claims["sub"] == main.user_id
    assert claims["https://x.example/statuses"] == [200, 403, 201]
    assert read_claims(tokens["access_token"])["sub"] == main.user_id
    (session,) = app.manage("GET", f"/users/{main.user_id}/sessions")["sessions"]
    assert session["id"] == claims["sid"]
    app.manage("GET", f"/users/{other.user_id}", expect=404)
    app.manage("DELETE", f"/rules/{rule['id']}")
    again = app.redeem(browser.open(app.authorize_url(prompt="none"))).json()
    assert read_claims(again["id_token"])["sub"] == main.user_id


def test_the_token_is_in_no_record(app: Application, server_of_rules: LiveServer) -> None:
    script = (
        "function (user, context, callback) { context.idToken.x = auth0.accessToken; callback(null, user, context); }"
    )
    rule = app.manage("POST", "/rules", {"name": "Print it", "script": script})
    ada = app.add_user()
    try:
        app.log_in(ada)
        found = app.manage("GET", "/actions/executions?trigger_id=rules&per_page=1")["executions"]
        recording = app.manage("GET", f"/actions/executions/{found[0]['id']}/recording")
    finally:
        app.manage("DELETE", f"/rules/{rule['id']}")

    assert recording["results"][0]["given"][2]["accessToken"] == "[secret]"
    assert recording["results"][0]["answered"][1]["idToken"] == {"x": "[secret]"}
